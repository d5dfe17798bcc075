package protocol

import (
	"testing"

	"weir/internal/wire"
	"weir/relay/problem"
)

// TestTranslate finds that no code of the native protocol reaches a client, and none that would end it for good, but where a backend has
// disconnected it.
func TestTranslate(t *testing.T) {
	for code := 1000; code < 5000; code++ {
		message, got, _ := Translate(code, "reason")
		switch {
		case code < 4000:
			if got != code || message != nil {
				t.Errorf("%d became %d", code, got)
			}
		case code == wire.CloseForbidden:
			if got != 4009 {
				t.Errorf("%d became %d", code, got)
			}
		case got < 4100 || got > 4299 || message == nil:
			t.Errorf("%d became %d", code, got)
		}
	}
	for _, err := range []error{problem.Draining, problem.Overloaded, problem.TooMany} {
		if _, code, _ := Refused(err); code != 4100 {
			t.Errorf("%v: %d", err, code)
		}
	}
	if _, code, _ := Refused(problem.Internal); code != 1011 {
		t.Error(code)
	}
}
