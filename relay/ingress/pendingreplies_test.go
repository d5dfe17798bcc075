package ingress

import (
	"bytes"
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// Whatever is owed, settled and sent in whatever portions, a connection gets each answer once, in order, and none before it
// was settled.
func TestTab(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b pendingReplies
		var sent, want []byte
		type answer struct {
			text  string
			waits bool
			late  bool // its text comes when it is settled
			id    uint64
		}
		serial := uint64(1)
		var list []answer // what is not in want yet
		advance := func() {
			for len(list) > 0 && !list[0].waits {
				want = append(want, list[0].text...)
				list = list[1:]
			}
		}
		for n := range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0: // a turn
				var out []byte
				var waits []span
				for i := range rapid.IntRange(0, 4).Draw(t, "answers") {
					a := answer{text: fmt.Sprintf("<%d.%d>", n, i), waits: rapid.Bool().Draw(t, "waits")}
					if from := len(out); a.waits {
						if a.late = rapid.Bool().Draw(t, "late"); a.late {
							waits = append(waits, span{from: from, to: from, id: serial})
						} else {
							waits = append(waits, span{from: from, to: from + len(a.text), id: serial})
						}
						a.id = serial
						serial++
					}
					if !a.late {
						out = append(out, a.text...)
					}
					list = append(list, a)
				}
				b.append(out, waits)
			case 1, 2: // the disk, in order, or another node
				var open []*answer
				for i := range list {
					if list[i].waits {
						open = append(open, &list[i])
					}
				}
				if len(open) == 0 {
					continue
				}
				a := open[rapid.IntRange(0, len(open)-1).Draw(t, "which")]
				a.waits = false
				var instead []byte
				if a.late {
					instead = []byte(a.text)
				}
				if rapid.Bool().Draw(t, "fails") {
					instead = bytes.Repeat([]byte("!"), rapid.IntRange(1, 12).Draw(t, "size"))
					a.text = string(instead)
				}
				b.resolve(a.id, instead)
			case 3: // the socket
				n := rapid.IntRange(0, b.ready).Draw(t, "sent")
				sent = append(sent, b.out[:n]...)
				b.sent(n)
			}
			advance()
			if got := string(sent) + string(b.out[:b.ready]); got != string(want) {
				t.Fatalf("may be sent: %s, not %s", got, want)
			}
		}
	})
}
