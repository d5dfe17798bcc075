package tunnel

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weir/internal/contain"
	"weir/relay/cluster/link"
	"weir/relay/problem"
)

// wire is two processes, a and b, that call each other.
type wire struct {
	*testing.T
	ends map[string]*Tunnels
	done sync.WaitGroup

	mu      sync.Mutex
	away    map[string]bool // is not heard
	lose    int             // of so many calls the answer is lost
	panics  int
	accepts func(n *Tunnel, head []byte) (Handler, error)
}

func newWire(t *testing.T) *wire {
	w := &wire{T: t, ends: make(map[string]*Tunnels), away: make(map[string]bool)}
	hook := contain.Hook(func(string, any) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.panics++
	})
	accept := func(n *Tunnel, _ string, head []byte) (Handler, error) { return w.accepts(n, head) }
	for _, name := range []string{"a", "b"} {
		w.ends[name] = New(node{w, name}, accept, hook, &w.done)
	}
	return w
}

func (w *wire) close() {
	for _, e := range w.ends {
		e.Close()
	}
	w.done.Wait()
}

// node is one of them. It implements Network.
type node struct {
	wire *wire
	name string
}

func (n node) Node() string { return n.name }

func (n node) other() string { return map[string]string{"a": "b", "b": "a"}[n.name] }

func (n node) Call(ctx context.Context, _, kind string, body []byte) ([]byte, error) {
	return n.CallNode(ctx, n.other(), kind, body)
}

var errLost = errors.New("no answer")

func (n node) CallNode(_ context.Context, to, kind string, body []byte) ([]byte, error) {
	w := n.wire
	time.Sleep(time.Millisecond) // of the bubble
	w.mu.Lock()
	away := w.away[to] || w.away[n.name]
	lost := kind == CallTake && w.lose > 0
	if lost {
		w.lose--
	}
	w.mu.Unlock()
	if away {
		return nil, link.ErrNoOwner
	}
	f := w.ends[to].Take
	if kind == CallOpen {
		f = w.ends[to].Open
	}
	answer, err := f(body)
	if lost {
		return nil, errLost
	}
	return answer, err
}

// heard notes what comes. It implements Handler.
type heard struct {
	mu    sync.Mutex
	list  []string
	bytes int
	ended int
}

func (h *heard) Received(kind byte, data []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.bytes += len(data)
	h.list = append(h.list, fmt.Sprint(kind, " ", string(data[:min(len(data), 20)])))
}

func (h *heard) Ended() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended++
}

func (h *heard) state() (list string, ended int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.list, ","), h.ended
}

// pair opens a tunnel from a to b.
func (w *wire) pair() (a, b *Tunnel, atA, atB *heard) {
	w.Helper()
	atA, atB = new(heard), new(heard)
	w.accepts = func(n *Tunnel, _ []byte) (Handler, error) {
		b = n
		return atB, nil
	}
	a, err := w.ends["a"].Dial(w.Context(), "k", []byte("head"), func(*Tunnel) Handler { return atA })
	if err != nil {
		w.Fatal(err)
	}
	return a, b, atA, atB
}

// Messages arrive in order and once in both directions, however often an answer is lost.
func TestInOrderAndOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t)
		defer w.close()
		a, b, atA, atB := w.pair()
		var toA, toB []string
		for i := range 200 {
			w.mu.Lock()
			w.lose = rand.IntN(3)
			w.mu.Unlock()
			for _, err := range []error{a.Send(byte(i+1), []byte(fmt.Sprint("b", i))), b.Send(7, []byte(fmt.Sprint("a", i)))} {
				if err != nil {
					t.Fatal(err)
				}
			}
			toA, toB = append(toA, fmt.Sprint("7 a", i)), append(toB, fmt.Sprint(byte(i+1), " b", i))
			time.Sleep(time.Duration(rand.IntN(3)) * time.Millisecond)
		}
		time.Sleep(5 * time.Second)
		if got, ended := atA.state(); got != strings.Join(toA, ",") || ended != 0 {
			t.Errorf("a has %s", got)
		}
		if got, ended := atB.state(); got != strings.Join(toB, ",") || ended != 0 {
			t.Errorf("b has %s", got)
		}
		a.Close()
		time.Sleep(time.Second)
		if _, ended := atB.state(); ended != 1 || b.Send(1, nil) != errEnded { //nolint:errorlint // as it is returned
			t.Errorf("b has ended %d times", ended)
		}
		if _, ended := atA.state(); ended != 0 {
			t.Error("who has closed is told")
		}
	})
}

// A process that is not heard any more, or does not answer, is lost: both ends find out. Tunnels that are opened later live.
func TestLost(t *testing.T) {
	for name, happens := range map[string]func(w *wire){
		"away":   func(w *wire) { w.away["b"] = true },
		"silent": func(w *wire) { w.lose = 1000 },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWire(t)
				defer w.close()
				a, b, atA, atB := w.pair()
				if a.Send(1, nil) != nil {
					t.Fatal("not sent")
				}
				time.Sleep(time.Minute)
				if _, ended := atB.state(); ended != 0 {
					t.Fatal("it has ended before")
				}
				for end, dialed := range map[string]uint64{"a": 1, "b": 0} {
					if s := w.ends[end].Stats(); s != (Stats{open: 1, dialed: dialed}) {
						t.Errorf("%s: %+v", end, s)
					}
				}
				w.mu.Lock()
				happens(w)
				w.mu.Unlock()
				time.Sleep(20 * time.Second)
				_, one := atA.state()
				_, two := atB.state()
				if one != 1 || two != 1 || a.Send(1, nil) == nil || b.Send(1, nil) == nil {
					t.Errorf("ended %d and %d times", one, two)
				}
				if s := w.ends["a"].Stats(); s != (Stats{dialed: 1, lost: 1}) {
					t.Errorf("a: %+v", s)
				}
				w.mu.Lock()
				clear(w.away)
				w.lose = 0
				w.mu.Unlock()
				a, b, atA, atB = w.pair()
				if a.Send(1, []byte("x")) != nil || b.Send(2, []byte("y")) != nil {
					t.Error("not sent")
				}
				time.Sleep(time.Minute)
				one1, ended1 := atA.state()
				two1, ended2 := atB.state()
				if one1 != "2 y" || two1 != "1 x" || ended1+ended2 != 0 {
					t.Errorf("%s, %s, ended %d", one1, two1, ended1+ended2)
				}
			})
		})
	}
}

// Who opens a tunnel is told why it is refused; one that nobody uses, as its opener does not know of it, ends.
func TestRefusedAndUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t)
		defer w.close()
		why := problem.New(409, "wrong_kind", "it is of another kind", true)
		w.accepts = func(*Tunnel, []byte) (Handler, error) { return nil, why }
		_, err := w.ends["a"].Dial(t.Context(), "k", nil, nil)
		if *problem.Of(err) != *problem.Of(why) {
			t.Errorf("it was refused with %v", err)
		}
		why = link.ErrNoOwner
		if _, err := w.ends["a"].Dial(t.Context(), "k", nil, nil); !errors.Is(err, link.ErrNoOwner) {
			t.Errorf("it was refused with %v", err)
		}
		_, _, atA, atB := w.pair()
		time.Sleep(time.Minute)
		if _, ended := atB.state(); ended != 1 {
			t.Errorf("it has ended %d times", ended)
		}
		_ = atA
	})
}

// What waits is bounded: Send says so, and a Conn waits for room, as long as it may.
func TestFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t)
		defer w.close()
		a, _, _, atB := w.pair()
		half := make([]byte, window/2)
		w.mu.Lock()
		w.lose = 80 // for more than two seconds, as both ends call
		w.mu.Unlock()
		c := NewConn(a, 3)
		for range 2 {
			if _, err := c.Write(half); err != nil {
				t.Fatal(err)
			}
		}
		if err := a.Send(1, half); err != ErrFull { //nolint:errorlint // as it is returned
			t.Errorf("more is taken: %v", err)
		}
		if s := w.ends["a"].Stats(); s.waiting != window {
			t.Errorf("while it is full: %+v", s)
		}
		_ = c.SetWriteDeadline(time.Now().Add(time.Second))
		if _, err := c.Write(half); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("it was written: %v", err)
		}
		_ = c.SetWriteDeadline(time.Time{})
		if _, err := c.Write(half); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		atB.mu.Lock()
		bytes := atB.bytes
		atB.mu.Unlock()
		if bytes != 3*len(half) {
			t.Errorf("%d bytes have come", bytes)
		}
		if err := a.Send(1, make([]byte, 2*window)); err != nil {
			t.Errorf("one that is larger is not taken: %v", err)
		}
		_ = c.Close()
		if _, err := c.Write(half); err == nil {
			t.Error("written after the end")
		}
	})
}

// A panic over a message, or in what sends, ends tunnels, and nothing else.
func TestPanics(t *testing.T) {
	for _, where := range []string{"message of a tunnel", "end of a tunnel", "tunnels to a node"} {
		t.Run(where, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWire(t)
				defer w.close()
				a, _, atA, atB := w.pair()
				var once sync.Once
				contain.Throw(func(at string) {
					if at == where {
						once.Do(func() { panic("thrown by the test") })
					}
				})
				defer contain.Throw(nil)
				_ = a.Send(1, []byte("x"))
				time.Sleep(5 * time.Second)
				if where == "tunnels to a node" { // it runs already
					a.Close()
					time.Sleep(5 * time.Second)
					a, _, atA, atB = w.pair()
					_ = a.Send(1, []byte("x"))
					time.Sleep(5 * time.Second)
				}
				a.Close()
				time.Sleep(20 * time.Second)
				w.mu.Lock()
				panics := w.panics
				w.mu.Unlock()
				if panics != 1 {
					t.Errorf("%d panics", panics)
				}
				_, one := atA.state()
				_, two := atB.state()
				if one+two == 0 && where != "end of a tunnel" {
					t.Error("nobody was told of an end")
				}
				a, _, _, atB = w.pair()
				if a.Send(1, []byte("again")) != nil {
					t.Error("not sent")
				}
				time.Sleep(5 * time.Second)
				if got, _ := atB.state(); got != "1 again" {
					t.Errorf("later %q has come", got)
				}
			})
		})
	}
}
