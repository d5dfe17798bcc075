package wire

import (
	"bytes"
	"slices"
	"testing"
)

// TestBeginText: the frame is the one that TextFrame makes, whatever stands before it and whatever its length.
func TestBeginText(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 1<<16 - 1, 1 << 16} {
		payload := bytes.Repeat([]byte("x"), n)
		before := []byte("before")
		b := BeginText(slices.Clone(before))
		if got, want := EndText(append(b, payload...), len(before)), append(before, TextFrame(payload)...); !bytes.Equal(got, want) {
			t.Errorf("%d bytes: a frame of %d bytes, want %d", n, len(got), len(want))
		}
		with := append(make([]byte, 0, n+MaxHeader), payload...)
		if got := IntoText(with); !bytes.Equal(got, TextFrame(payload)) || n > 0 && &got[0] != &with[0] {
			t.Errorf("%d bytes: a frame of %d bytes, or elsewhere", n, len(got))
		}
	}
}
