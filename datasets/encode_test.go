package datasets

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// letters is a tokenizer whose ids are bytes, between 1 and 2; encoders counts its encoders.
type letters struct {
	name     string
	encoders atomic.Int32
	calls    atomic.Int32
}

func (l *letters) Fingerprint() string { return l.name }
func (l *letters) NewEncoder() Encoder { l.encoders.Add(1); return &letterEncoder{l: l} }

type letterEncoder struct {
	l    *letters
	busy atomic.Bool
}

func (e *letterEncoder) Encode(dst []int32, text string, pair *string, maxLength int) ([]int32, int) {
	if e.busy.Swap(true) {
		panic("two goroutines use one encoder")
	}
	defer e.busy.Store(false)
	e.l.calls.Add(1)
	start := len(dst)
	dst = append(dst, 1)
	for _, b := range []byte(text) {
		dst = append(dst, int32(b)+10)
	}
	dst = append(dst, 2)
	second := len(dst) - start
	if pair != nil {
		for _, b := range []byte(*pair) {
			dst = append(dst, int32(b)+10)
		}
	}
	if maxLength > 0 && len(dst)-start > maxLength {
		dst = dst[:start+maxLength]
	}
	return dst, min(second, len(dst)-start)
}

func numbersFile(t testing.TB, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "number %d\tsecond %d\t%d\n", i, i*i, i%3)
	}
	return write(t, "numbers.tsv", b.String())
}

var numbered3 = Columns{"1", "2", "3"}

func TestEncodeKeepsTheOrder(t *testing.T) {
	const n = 5000
	ds, err := OpenFile(t.Context(), numbersFile(t, n), numbered3, train)
	if err != nil {
		t.Fatal(err)
	}
	var hashes []string
	for _, workers := range []int{1, 3, 8} {
		tok := &letters{name: "letters"}
		var last int64
		e, err := Encode(t.Context(), ds, "train", tok, EncodeOptions{Workers: workers, Progress: func(done, total int64) {
			if done <= last || total != n {
				t.Errorf("progress %d of %d after %d", done, total, last)
			}
			last = done
		}})
		if err != nil {
			t.Fatal(err)
		}
		if e.Len() != n || last != n || tok.encoders.Load() != int32(workers) {
			t.Fatalf("%d examples, progress %d, %d encoders", e.Len(), last, tok.encoders.Load())
		}
		tokens := int64(0)
		for i := range n {
			text, pair := fmt.Sprintf("number %d", i), fmt.Sprintf("second %d", i*i)
			want, second := (&letterEncoder{l: tok}).Encode(nil, text, &pair, 0)
			if diff := cmp.Diff(EncodedExample{want, second, float32(i % 3)}, e.Example(i)); diff != "" {
				t.Fatalf("example %d: %s", i, diff)
			}
			tokens += int64(len(want))
		}
		if e.Tokens() != tokens {
			t.Errorf("%d tokens, want %d", e.Tokens(), tokens)
		}
		hashes = append(hashes, e.SHA256())
	}
	if hashes[0] != hashes[1] || hashes[0] != hashes[2] {
		t.Errorf("the number of workers changes the outcome: %v", hashes)
	}
}

func TestHashSeesEverything(t *testing.T) {
	base := func() *Encoded {
		return &Encoded{IDs: []int32{1, 2, 3}, Offsets: []int64{0, 1, 3}, Second: []int32{1, 2}, Labels: []float32{0, 1}}
	}
	seen := map[string]string{base().SHA256(): "base"}
	for name, change := range map[string]func(*Encoded){
		"id":      func(e *Encoded) { e.IDs[2]++ },
		"offset":  func(e *Encoded) { e.Offsets[1]++ },
		"second":  func(e *Encoded) { e.Second[1]-- },
		"label":   func(e *Encoded) { e.Labels[1] = 0.5 },
		"shorter": func(e *Encoded) { e.IDs, e.Offsets[2] = e.IDs[:2], 2 },
	} {
		e := base()
		change(e)
		if was, ok := seen[e.SHA256()]; ok {
			t.Errorf("%s hashes as %s", name, was)
		}
		seen[e.SHA256()] = name
	}
}

func TestEncodedCache(t *testing.T) {
	path, dir := numbersFile(t, 600), filepath.Join(t.TempDir(), "cache")
	encode := func(cols Columns, opt FileOptions, name string, maxLength int) (*Encoded, bool) {
		t.Helper()
		ds, err := OpenFile(t.Context(), path, cols, opt)
		if err != nil {
			t.Fatal(err)
		}
		tok := &letters{name: name}
		e, err := Encode(t.Context(), ds, "train", tok, EncodeOptions{MaxLength: maxLength, CacheDir: dir})
		if err != nil {
			t.Fatal(err)
		}
		return e, tok.calls.Load() == 0
	}
	first, hit := encode(numbered3, train, "a", 16)
	if hit {
		t.Fatal("hit in an empty cache")
	}
	again, hit := encode(numbered3, train, "a", 16)
	if !hit || again.SHA256() != first.SHA256() {
		t.Fatalf("second time: hit %v", hit)
	}
	for name, try := range map[string]func() (*Encoded, bool){
		"tokenizer": func() (*Encoded, bool) { return encode(numbered3, train, "b", 16) },
		"length":    func() (*Encoded, bool) { return encode(numbered3, train, "a", 17) },
		"columns":   func() (*Encoded, bool) { return encode(Columns{"2", "1", "3"}, train, "a", 16) },
		"split":     func() (*Encoded, bool) { return encode(numbered3, FileOptions{}, "a", 16) },
		"labels": func() (*Encoded, bool) {
			return encode(numbered3, FileOptions{Split: "train", Regression: true}, "a", 16)
		},
	} {
		if _, hit := try(); hit {
			t.Errorf("another %s is taken for the same", name)
		}
	}

	files, err := filepath.Glob(filepath.Join(dir, "*.encoded"))
	if err != nil || len(files) != 6 {
		t.Fatalf("cache files: %v %v", files, err)
	}
	for _, f := range files { // every damage is noticed and mended
		whole, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, damaged := range [][]byte{nil, whole[:20], whole[:len(whole)-1], append([]byte{whole[0] ^ 1}, whole[1:]...),
			append(append([]byte{}, whole...), 0), append(append([]byte{}, whole[:len(whole)-1]...), whole[len(whole)-1]^0x40)} {
			if err := os.WriteFile(f, damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			if e := (encodedCache{f}).read(); e != nil {
				t.Errorf("damage of %s is not noticed", f)
			}
		}
	}
	if e, hit := encode(numbered3, train, "a", 16); hit || e.SHA256() != first.SHA256() {
		t.Errorf("damaged file used: %v", hit)
	}
	if _, hit := encode(numbered3, train, "a", 16); !hit {
		t.Error("it was not mended")
	}
	if rest, _ := filepath.Glob(filepath.Join(dir, "*tmp*")); len(rest) > 0 {
		t.Errorf("left behind: %v", rest)
	}
}

func TestEncodeEnds(t *testing.T) {
	boom := errors.New("boom")
	ds := &Dataset{Name: "d", Columns: Columns{Text: "t"}}
	ds.Splits = []*Split{{Name: "train", Rows: 1 << 40, examples: func(ctx context.Context) iter.Seq2[Example, error] {
		return func(yield func(Example, error) bool) {
			for i := range 100_000 {
				if !yield(Example{Text: fmt.Sprint(i)}, nil) {
					return
				}
			}
			yield(Example{}, boom)
		}
	}}}
	tok := &letters{name: "letters"}
	if _, err := Encode(t.Context(), ds, "train", tok, EncodeOptions{}); !errors.Is(err, boom) {
		t.Errorf("error of the reader: %v", err)
	}
	stop := errors.New("stop")
	batches := 0
	err := EncodeStream(t.Context(), ds, "train", tok, EncodeOptions{}, func(*Encoded) error {
		if batches++; batches == 3 {
			return stop
		}
		return nil
	})
	if !errors.Is(err, stop) || batches != 3 {
		t.Errorf("error of the consumer: %v after %d batches", err, batches)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
	defer cancel()
	err = EncodeStream(ctx, ds, "train", tok, EncodeOptions{}, func(*Encoded) error { time.Sleep(time.Millisecond); return nil })
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("cancelled: %v", err)
	}
	path := numbersFile(t, 10)
	shrunk, err := OpenFile(t.Context(), path, numbered3, train)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("a\tb\t1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Encode(t.Context(), shrunk, "train", tok, EncodeOptions{}); err == nil || !strings.Contains(err.Error(), "1 examples where 10 were") {
		t.Errorf("file changed after it was opened: %v", err)
	}
	if _, err := Encode(t.Context(), ds, "test", tok, EncodeOptions{}); err == nil || !strings.Contains(err.Error(), `no split "test"; it has train`) {
		t.Errorf("unknown split: %v", err)
	}
}

func FuzzParseEncoded(f *testing.F) {
	e := &Encoded{IDs: []int32{1, 2, 3}, Offsets: []int64{0, 1, 3}, Second: []int32{1, 2}, Labels: []float32{0, 1}}
	var b bytesWriter
	e.writeTo(&b)
	f.Add([]byte(b))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, ok := parseEncoded(b)
		if !ok {
			return
		}
		for i := range e.Len() {
			e.Example(i)
		}
		var again bytesWriter
		e.writeTo(&again)
		if string(again) != string(b) {
			t.Error("bytes differ after a round trip")
		}
	})
}

type bytesWriter []byte

func (w *bytesWriter) Write(b []byte) (int, error) { *w = append(*w, b...); return len(b), nil }
