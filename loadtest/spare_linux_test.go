package loadtest

import (
	"strings"
	"testing"
)

func TestSpare(t *testing.T) {
	const stat = "cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 100 0 200 300 5 0 50 1 0 0\ncpu1 10 1 20 30 2 3 4 5 0 0\nintr 1\n"
	first := func(cpu int) bool { return cpu == 0 }
	for _, test := range []struct {
		name, stat string
		own        func(int) bool
		want       spare
	}{
		{"one of two", stat, first, spare{305, 656}},
		{"the other", stat, func(cpu int) bool { return cpu == 1 }, spare{32, 75}},
		{"all", stat, func(int) bool { return true }, spare{}},
		{"one that is not there", stat, func(cpu int) bool { return cpu == 7 }, spare{}},
		{"nothing", "", first, spare{}},
		{"short lines", "cpu0 1 2\ncpu\n\ncpux 1\n", first, spare{}},
		{"no numbers", strings.ReplaceAll(stat, "300", "x"), first, spare{}},
	} {
		if got := parseSpare(test.stat, test.own); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
	for _, test := range []struct {
		idle, all int64
		full      bool
	}{{0, 400, true}, {12, 400, true}, {13, 400, false}, {400, 400, false}, {0, 49, false}, {0, 0, false}} {
		before := spare{1000, 5000}
		if got := (spare{1000 + test.idle, 5000 + test.all}).note(before); (got != "") != test.full {
			t.Errorf("%d of %d: %q", test.idle, test.all, got)
		}
	}
}
