package broker

import (
	"testing"
	"testing/synctest"
	"time"
)

// moving is a cluster whose partition moves away between one question about a channel and the next.
type moving struct {
	here     int // so many questions are still answered with: here
	handedOn []string
}

func (m *moving) Elsewhere(string) bool { m.here--; return m.here < 0 }
func (m *moving) Publish(_ string, p *Publication) (Receipt, error) {
	m.handedOn = append(m.handedOn, string(p.Data))
	return Receipt{Wait: func() (Position, error) { return Position{Epoch: "theirs", Seq: 7}, nil }}, nil
}
func (m *moving) Follow(string) (Kept, bool, error) { return Kept{}, false, nil }
func (m *moving) Unfollow(string)                   {}

// What is handed over is the last word: a publication that was on its way to the channel goes to its next owner, and no item ends here.
func TestHandOverIsTheLastWord(t *testing.T) {
	for name, followed := range map[string]bool{"followed": true, "not followed": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const always = 1 << 20
				m, s := &moving{here: always}, new(created)
				b, err := New(Config{Cluster: m, Subscriber: func(*Channel) Subscriber { return s }})
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = b.Close() }()
				if followed {
					c, err := b.Join("c", JoinRequest{}, nil)
					if err != nil {
						t.Fatal(err)
					}
					defer c.Leave()
				}
				first, err := b.Publish("c", &Publication{Op: Set, Key: "k", Data: []byte("1"), TTL: time.Second})
				if err != nil {
					t.Fatal(err)
				}
				told := len(s.told)
				k, _, ok := b.HandOver("c")
				if !ok || k.Position != first {
					t.Fatalf("handed over at %v, %v", k.Position, ok)
				}
				m.here = 1 // the publication has found it here just before
				if at, err := b.Publish("c", &Publication{Op: Set, Key: "k", Data: []byte("2")}); err != nil || at != (Position{Epoch: "theirs", Seq: 7}) {
					t.Errorf("published at %v (%v)", at, err)
				}
				m.here = always
				time.Sleep(time.Minute) // the item's time has passed
				synctest.Wait()
				if len(m.handedOn) != 1 || len(s.told) != told {
					t.Errorf("handed on %q, told %v", m.handedOn, s.told)
				}
			})
		})
	}
}
