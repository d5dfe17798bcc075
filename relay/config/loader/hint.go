package loader

import (
	"reflect"
	"strings"
)

// unknown says that a key does not exist, which one may have been meant, and which ones there are.
func unknown(name string, section, whole reflect.Value) string {
	known := names(section)
	hint := nearest(name, known)
	if hint == "" {
		hint = elsewhere(name, whole)
	}
	if hint != "" {
		hint = "did you mean " + hint + "? "
	}
	return "unknown key: " + hint + "known here: " + strings.Join(known, ", ")
}

// elsewhere finds a key of that name in another section.
func elsewhere(name string, whole reflect.Value) (path string) {
	everyKey(whole, "", func(p string, _ reflect.Type) {
		if path == "" && (p == name || strings.HasSuffix(p, "."+name)) {
			path = p
		}
	})
	return path
}

// nearest is the candidate that differs least from the name; "" if none is close enough to be a slip
// of the keyboard.
func nearest(name string, candidates []string) string {
	const longest = 64
	if len(name) > longest {
		return ""
	}
	best, least := "", max(1, min(3, len(name)/3))+1
	for _, c := range candidates {
		if d := distance(name, c); d < least {
			best, least = c, d
		}
	}
	return best
}

// distance counts the bytes to insert, remove or replace, and the neighbours to swap, to turn a into b.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			replace := last[j]
			if a[i] != b[j] {
				replace++
			}
			row[j+1] = min(replace, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
