package retry

import (
	"net/http"
	"testing"
	"time"
)

func TestAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for v, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-1": 0, "soon": 0, "99999999999": 0,
		"Fri, 02 Jan 2026 03:04:35 GMT": 30 * time.Second, "Fri, 02 Jan 2026 03:04:00 GMT": 0,
	} {
		if got := After(http.Header{"Retry-After": {v}}, now); got != want {
			t.Errorf("%q: %v, want %v", v, got, want)
		}
	}
}

func TestBackoff(t *testing.T) {
	const first, longest = time.Second, 5 * time.Minute
	for n := 1; n < 200; n++ {
		bound := longest
		if n < 9 {
			bound = first << (n - 1)
		}
		for range 20 {
			if d := Backoff(n, first, longest); d < least || d > bound+least {
				t.Fatal(n, d)
			}
		}
	}
	varied := make(map[time.Duration]bool)
	for range 20 {
		varied[Backoff(20, first, longest)] = true
	}
	if len(varied) < 2 {
		t.Error("there is no jitter")
	}
}

func TestJitter(t *testing.T) {
	if Jitter(0) != 0 || Jitter(-time.Second) != 0 {
		t.Error("a time that is none")
	}
}
