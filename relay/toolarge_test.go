package relay

import (
	"slices"
	"strings"
	"testing"

	"weir/internal/units"
	"weir/internal/wire"
)

// A message that is too large costs itself and nothing else: the commands in it are answered by their ids, those before
// and after it are run, in whatever pieces all of it comes.
func TestTooLargeIsPassedOver(t *testing.T) {
	t.Parallel()
	g, connect := framed(t)
	large := strings.Repeat("é]}\\\"", 64<<10/6+1)
	fragments := func(b []byte, size int) (out []byte) {
		for first := wire.OpText; ; first = wire.OpContinuation {
			n := min(size, len(b))
			if n == len(b) {
				return append(out, clientFrame(fin|first, b)...)
			}
			out = append(out, clientFrame(first, b[:n])...)
			if len(out)%3 == 0 {
				out = append(out, clientFrame(fin|wire.OpPing, []byte("p"))...)
			}
			b = b[n:]
		}
	}
	for message, ids := range map[string][]string{
		`{"type":"publish","id":7,"channel":"a","data":"` + large + `"}`:                                                      {"7"},
		`{"type":"publish","channel":"a","data":{"id":3,"x":"` + large + `"},"id" : "last" }`:                                 {`"last"`},
		`{"type":"publish","channel":"a","data":["id","` + large + `"]}`:                                                      {""},
		` [{"type":"ping","id":1},{"type":"publish","id":-2.5e1,"data":"` + large + `"},{"type":"x"},{"data":[{}],"id":"z"}]`: {"1", "-2.5e1", "", `"z"`},
		`{"id":"` + large + `"}`:                        {""},
		`{"id":{"id":4},"data":"` + large + `"}`:        {""},
		`"` + large + `"`:                               {""},
		strings.Repeat("[", 70<<10):                     {""},
		`{"id":tru` + strings.Repeat("e", 70<<10) + `}`: {""},
	} {
		for _, size := range []int{len(message), 100_000, 60_000, 1000} {
			p := connect["plain"]()
			before, after := textFrame(`{"type":"ping","id":"before"}`), textFrame(`{"type":"ping","id":"after"}`)
			p.raw(append(append(before, fragments([]byte(message), size)...), after...))
			var got []string
			for n := 0; n < len(ids)+2; n++ {
				m := p.next()
				if m.Type == "error" && m.Code != "too_large" {
					t.Fatalf("%.60s in pieces of %d: %s", message, size, m.raw)
				}
				got = append(got, string(m.ID))
			}
			if slices.Sort(got); !slices.Equal(got, slices.Sorted(slices.Values(append(slices.Clone(ids), `"before"`, `"after"`)))) {
				t.Errorf("%.60s in pieces of %d: %q", message, size, got)
			}
			p.alive()
		}
	}
	z := connect["deflate"]()
	z.raw(clientFrame(fin|rsv1|wire.OpText, deflated(t, []byte(`[{"id":1,"data":"`+large+`"},{"data":0,"id":"two"}]`))), textFrame(`{"type":"ping","id":3}`))
	for _, want := range []string{"1", `"two"`, "3"} {
		if m := z.next(); string(m.ID) != want || (m.Code == "too_large") != (want != "3") {
			t.Errorf("compressed: %s", m.raw)
		}
	}
	p := connect["plain"]() // a byte at a time where the frames meet
	whole := append(append(textFrame(`{"type":"ping","id":1}`), textFrame(`{"id":2,"data":"`+large+`"}`)...), textFrame(`{"type":"ping","id":3}`)...)
	for i := range whole {
		if i < 60 || i > len(whole)-60 {
			p.raw(whole[i : i+1])
		} else if i == 60 {
			p.raw(whole[60 : len(whole)-59])
		}
	}
	for range 3 {
		p.next()
	}
	p.alive()
	if n := g.metric("weir_panics_total"); n != "0" {
		t.Errorf("%s panics", n)
	}
}

// What is passed over is not free.
func TestTooLargeCostsCommands(t *testing.T) {
	t.Parallel()
	cfg := openConfig()
	cfg.Limit.Commands = units.Rate{Count: 4, Per: cfg.Limit.Commands.Per + 1e12}
	g := launch(t, cfg)
	p := g.ws("u1")
	p.raw(clientFrame(fin|wire.OpText, make([]byte, 7*(256<<10))))
	p.wantError("too_large")
	p.say(`{"type":"ping"}`)
	p.wantClose(wire.CloseRateLimit)
}
