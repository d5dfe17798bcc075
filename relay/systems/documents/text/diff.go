package text

import "unicode/utf8"

// Diff is an operation that makes to of from: what they have in common at both ends stays.
func Diff(from, to string) Op {
	head, skip := 0, 0
	for head < len(from) && head < len(to) {
		a, n := utf8.DecodeRuneInString(from[head:])
		if b, _ := utf8.DecodeRuneInString(to[head:]); a != b {
			break
		}
		head += n
		skip++
	}
	from, to = from[head:], to[head:]
	for len(from) > 0 && len(to) > 0 {
		a, n := utf8.DecodeLastRuneInString(from)
		if b, _ := utf8.DecodeLastRuneInString(to); a != b {
			break
		}
		from, to = from[:len(from)-n], to[:len(to)-n]
	}
	op := make(Op, 0, 3)
	op = op.add(Skipping(skip)).add(Inserting(to))
	return op.add(Deleting(utf8.RuneCountInString(from))).trim()
}
