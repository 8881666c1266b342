package checkpoint

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"
)

// A pickle is a program for a machine that builds objects by calling functions that it names. This one has the instructions
// that torch.save uses for a state dict and no others, and its caller gives a closed list of functions, none of which runs
// anything: whatever else a pickle asks for is refused by name.

// maxPickle bounds what a program may build: no instruction makes more than some tens of bytes for each of its own.
const maxPickle = 4 << 20

// Values of the machine beside nil, bool, int64, float64 and string. Lists and dicts are shared where the memo shares them.
type (
	global string // module.name
	tuple  []any
	list   struct{ items []any }
	dict   map[string]any
)

// machine runs one program.
type machine struct {
	call func(fn global, args tuple) (any, error) // of a function that known lists
	load func(id tuple) (any, error)              // of a persistent object
	// known lists the globals that may be named at all.
	known func(fn global) bool

	code  []byte
	at    int
	stack []any
	marks []int // heights of the stack
	memo  []any
}

// run executes a program at the beginning of code and returns its value and what follows it.
func (m *machine) run(code []byte) (value any, rest []byte, err error) {
	m.code, m.at, m.stack, m.marks, m.memo = code[:min(len(code), maxPickle)], 0, nil, nil, nil
	for {
		at := m.at
		op, err := m.take(1)
		if err == nil && op[0] == '.' {
			if value, err = m.pop(); err == nil {
				return value, code[m.at:], nil
			}
		}
		if err == nil {
			err = m.step(op[0])
		}
		if err != nil {
			return nil, nil, fmt.Errorf("pickle: byte %d: %w", at, err)
		}
	}
}

func (m *machine) step(op byte) error {
	switch op {
	case 0x80: // PROTO
		b, err := m.take(1)
		if err == nil && b[0] != 2 {
			err = fmt.Errorf("protocol %d: torch.save writes 2", b[0])
		}
		return err
	case 'c': // GLOBAL
		return m.global()
	case '(': // MARK
		m.marks = append(m.marks, len(m.stack))
		return nil
	case 'N':
		return m.push(nil)
	case 0x88:
		return m.push(true)
	case 0x89:
		return m.push(false)
	case 'K', 'M', 'J', 0x8a, 'G', 'X': // BININT1, BININT2, BININT, LONG1, BINFLOAT, BINUNICODE
		return m.literal(op)
	case ')':
		return m.push(tuple(nil))
	case ']':
		return m.push(&list{})
	case '}':
		return m.push(dict{})
	case 0x85, 0x86, 0x87: // TUPLE1..3
		items, err := m.popN(int(op-0x85) + 1)
		return m.pushed(tuple(items), err)
	case 't': // TUPLE
		items, err := m.popMark()
		return m.pushed(tuple(items), err)
	case 'a', 'e', 's', 'u': // APPEND, APPENDS, SETITEM, SETITEMS
		return m.fill(op)
	case 'q', 'r', 'h', 'j': // BINPUT, LONG_BINPUT, BINGET, LONG_BINGET
		return m.remember(op)
	case 'R', 'Q', 'b': // REDUCE, BINPERSID, BUILD
		return m.object(op)
	}
	return fmt.Errorf("instruction 0x%02x is not one of a state dict", op)
}

func (m *machine) take(n int) ([]byte, error) {
	if n > len(m.code)-m.at {
		return nil, errors.New("it ends early or is too long")
	}
	m.at += n
	return m.code[m.at-n : m.at], nil
}

func (m *machine) push(v any) error {
	m.stack = append(m.stack, v)
	return nil
}

func (m *machine) pushed(v any, err error) error {
	if err != nil {
		return err
	}
	return m.push(v)
}

// floor is the height that pops may not go below: that of the last mark.
func (m *machine) floor() int {
	if len(m.marks) == 0 {
		return 0
	}
	return m.marks[len(m.marks)-1]
}

func (m *machine) pop() (any, error) {
	v, err := m.popN(1)
	if err != nil {
		return nil, err
	}
	return v[0], nil
}

// popN removes the top n values and returns them, oldest first.
func (m *machine) popN(n int) ([]any, error) {
	if len(m.stack)-n < m.floor() {
		return nil, errors.New("the stack is empty")
	}
	at := len(m.stack) - n
	items := append([]any(nil), m.stack[at:]...)
	m.stack = m.stack[:at]
	return items, nil
}

func (m *machine) popMark() ([]any, error) {
	if len(m.marks) == 0 {
		return nil, errors.New("no mark is set")
	}
	items, err := m.popN(len(m.stack) - m.floor())
	m.marks = m.marks[:len(m.marks)-1]
	return items, err
}

func (m *machine) global() error {
	var name [2]string
	for i := range name {
		n := bytes.IndexByte(m.code[m.at:], '\n')
		if n < 0 {
			return errors.New("it ends early")
		}
		b, _ := m.take(n + 1)
		name[i] = string(b[:n])
	}
	g := global(name[0] + "." + name[1])
	if !m.known(g) {
		return fmt.Errorf("it asks for %.80q, which is not part of a state dict: refused", string(g))
	}
	return m.push(g)
}

func (m *machine) literal(op byte) error {
	width := map[byte]int{'K': 1, 'M': 2, 'J': 4, 0x8a: 1, 'G': 8, 'X': 4}[op]
	b, err := m.take(width)
	if err != nil {
		return err
	}
	switch op {
	case 'G':
		return m.push(math.Float64frombits(binary.BigEndian.Uint64(b)))
	case 'J':
		return m.push(int64(int32(binary.LittleEndian.Uint32(b))))
	case 'M':
		return m.push(int64(binary.LittleEndian.Uint16(b)))
	case 'K':
		return m.push(int64(b[0]))
	case 'X':
		s, err := m.take(int(binary.LittleEndian.Uint32(b)))
		if err != nil {
			return err
		}
		if !utf8.Valid(s) {
			return errors.New("a string is not UTF-8")
		}
		return m.push(string(s))
	}
	return m.long(int(b[0]))
}

// long reads a whole number of n bytes, two's complement. One that does not fit is known by its bytes only.
func (m *machine) long(n int) error {
	b, err := m.take(n)
	if err != nil {
		return err
	}
	if n > 8 {
		return m.push(strings.Clone(string(b)))
	}
	var v uint64
	for i := range b {
		v |= uint64(b[i]) << (8 * i)
	}
	if n > 0 && n < 8 && b[n-1] >= 0x80 {
		v |= math.MaxUint64 << (8 * n)
	}
	return m.push(int64(v))
}

// fill adds to the list or dict under the arguments.
func (m *machine) fill(op byte) error {
	var items []any
	var err error
	switch op {
	case 'a':
		items, err = m.popN(1)
	case 's':
		items, err = m.popN(2)
	default:
		items, err = m.popMark()
	}
	if err != nil {
		return err
	}
	if len(m.stack) == m.floor() {
		return errors.New("the stack is empty")
	}
	target := m.stack[len(m.stack)-1]
	if l, ok := target.(*list); ok && (op == 'a' || op == 'e') {
		l.items = append(l.items, items...)
		return nil
	}
	d, ok := target.(dict)
	if !ok || op == 'a' || op == 'e' || len(items)%2 != 0 {
		return errors.New("items for what is no list and no dict")
	}
	for i := 0; i < len(items); i += 2 {
		key, ok := items[i].(string)
		if !ok {
			return fmt.Errorf("a dict with a key that is a %T: strings are expected", items[i])
		}
		d[key] = items[i+1]
	}
	return nil
}

// remember moves between stack and memo. Python numbers the memo from 0 without gaps; so must a program here.
func (m *machine) remember(op byte) error {
	width := 1
	if op == 'r' || op == 'j' {
		width = 4
	}
	b, err := m.take(width)
	if err != nil {
		return err
	}
	i := int(b[0])
	if width == 4 {
		i = int(binary.LittleEndian.Uint32(b))
	}
	if op == 'h' || op == 'j' {
		if i >= len(m.memo) {
			return fmt.Errorf("memo %d is not set", i)
		}
		return m.push(m.memo[i])
	}
	if len(m.stack) == m.floor() {
		return errors.New("the stack is empty")
	}
	top := m.stack[len(m.stack)-1]
	switch {
	case i < len(m.memo):
		m.memo[i] = top
	case i == len(m.memo):
		m.memo = append(m.memo, top)
	default:
		return fmt.Errorf("memo %d is set before %d", i, len(m.memo))
	}
	return nil
}

func (m *machine) object(op byte) error {
	if op == 'Q' {
		v, err := m.pop()
		if err != nil {
			return err
		}
		id, ok := v.(tuple)
		if !ok {
			return errors.New("a persistent object without its description")
		}
		return m.pushed(m.load(id))
	}
	v, err := m.popN(2)
	if err != nil {
		return err
	}
	if op == 'b' { // attributes, which an OrderedDict carries as _metadata; they say nothing of the weights
		if _, ok := v[0].(dict); !ok {
			return fmt.Errorf("attributes of a %T: only a dict's are expected", v[0])
		}
		return m.push(v[0])
	}
	fn, ok := v[0].(global)
	args, isTuple := v[1].(tuple)
	if !ok || !isTuple {
		return errors.New("a call of what is no function")
	}
	return m.pushed(m.call(fn, args))
}
