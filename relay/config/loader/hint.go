package loader

import (
	"reflect"
	"strings"

	"weir/relay/config"
)

// unknown says that a key does not exist, which one may have been meant, and which ones there are.
func unknown(name string, section reflect.Value, systems []config.System) string {
	known := config.FieldNames(section)
	hint := nearest(name, known)
	if hint == "" { // perhaps a key of another section
		config.WalkKeys(systems, func(path string, _ config.Field) {
			if hint == "" && (path == name || strings.HasSuffix(path, "."+name)) {
				hint = path
			}
		})
	}
	return "unknown key: " + didYouMean(hint) + "known here: " + strings.Join(known, ", ")
}

// didYouMean asks so, if there is something that may have been meant.
func didYouMean(hint string) string {
	if hint == "" {
		return ""
	}
	return "did you mean " + hint + "? "
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
