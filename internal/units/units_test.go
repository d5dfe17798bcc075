package units

import (
	"strings"
	"testing"
	"time"
)

func TestParseSize(t *testing.T) {
	for in, want := range map[string]Size{"0": 0, "512": 512, "512B": 512, "64KiB": 64 * KiB, "1 MiB": MiB, "2GiB": 2 * GiB} {
		if got, err := parseSize(in); err != nil || got != want {
			t.Errorf("parseSize(%q) = %v, %v, want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "KiB", "-1", "1KB", "1.5MiB", "x", "9999999999999GiB", "64kib"} {
		if got, err := parseSize(in); err == nil || !strings.Contains(err.Error(), "64KiB") {
			t.Errorf("parseSize(%q) = %v, %v, want an error with an example", in, got, err)
		}
	}
}

func TestParseRate(t *testing.T) {
	for in, want := range map[string]Rate{"50/s": {50, time.Second}, "600/m": {600, time.Minute}, "1/h": {1, time.Hour}, "none": {}, "0": {}} {
		if got, err := parseRate(in); err != nil || got != want {
			t.Errorf("parseRate(%q) = %v, %v, want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "50", "50/", "/s", "-1/s", "1.5/s", "50/d", "0/s"} {
		if got, err := parseRate(in); err == nil || !strings.Contains(err.Error(), "50/s") {
			t.Errorf("parseRate(%q) = %v, %v, want an error with an example", in, got, err)
		}
	}
	if got := (Rate{30, time.Minute}).PerSecond(); got != 0.5 {
		t.Errorf("30/m is %v a second, want 0.5", got)
	}
}

func TestTextRoundTrip(t *testing.T) {
	for _, s := range []Size{0, 1, 1023, KiB, 3 * MiB, 5*GiB + 1} {
		text, _ := s.MarshalText()
		var back Size
		if err := back.UnmarshalText(text); err != nil || back != s {
			t.Errorf("%d became %s and then %d, %v", s, text, back, err)
		}
	}
	for _, r := range []Rate{{}, {50, time.Second}, {7, time.Hour}} {
		text, _ := r.MarshalText()
		var back Rate
		if err := back.UnmarshalText(text); err != nil || back != r {
			t.Errorf("%v became %s and then %v, %v", r, text, back, err)
		}
	}
}
