package tokenizer

// longestFirst gives the lengths of two sequences (or one) after truncation to limit ids together. It is computed from the lengths,
// as the Rust code does it, which is not always what dropping one id of the longer one at a time would give.
func longestFirst(a, b int, pair bool, limit int) (int, int) {
	if a+b <= limit {
		return a, b
	}
	if !pair {
		return limit, 0
	}
	short := min(a, b)
	long := max(short, limit-short)
	if short+long > limit {
		short = limit / 2
		long = short + limit%2
	}
	if a > b {
		return long, short
	}
	return short, long
}

// cut keeps n ids, the first or the last ones.
func cut(ids []int32, n int, left bool) []int32 {
	if n >= len(ids) {
		return ids
	}
	if left {
		return ids[len(ids)-n:]
	}
	return ids[:n]
}
