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
		}
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
					a := answer{fmt.Sprintf("<%d.%d>", n, i), rapid.Bool().Draw(t, "waits")}
					if from := len(out); a.waits {
						waits = append(waits, span{from, from + len(a.text)})
					}
					out = append(out, a.text...)
					list = append(list, a)
				}
				b.append(out, waits)
			case 1, 2: // the disk
				if len(b.waits) == 0 {
					continue
				}
				var instead []byte
				if rapid.Bool().Draw(t, "fails") {
					instead = bytes.Repeat([]byte("!"), rapid.IntRange(1, 12).Draw(t, "size"))
				}
				for i := range list {
					if list[i].waits {
						list[i].waits = false
						if instead != nil {
							list[i].text = string(instead)
						}
						break
					}
				}
				b.resolve(instead)
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
