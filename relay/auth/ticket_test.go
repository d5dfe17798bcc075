package auth

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// len is how many tickets are outstanding.
func (t *Tickets) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.queue.Len()
}

func TestTicketIsRedeemedOnce(t *testing.T) {
	tickets := NewTickets(0)
	id := &Identity{User: "u1"}
	text := must(tickets.Issue(id))
	if len(text) != 32 {
		t.Errorf("a ticket has %d characters", len(text))
	}
	for _, bad := range []string{"", "x", text[:31], text + "A", text[:31] + "!", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"} {
		if _, ok := tickets.Redeem(bad); ok {
			t.Errorf("%q is redeemed", bad)
		}
	}
	if got, ok := tickets.Redeem(text); !ok || got != id {
		t.Errorf("Redeem = %v, %v", got, ok)
	}
	if _, ok := tickets.Redeem(text); ok {
		t.Error("redeemed twice")
	}
	if _, err := tickets.Issue(nil); err == nil {
		t.Error("a ticket for nobody")
	}
}

func TestTicketRace(t *testing.T) {
	tickets := NewTickets(0)
	for range 50 {
		text := must(tickets.Issue(&Identity{User: "u1"}))
		var won atomic.Int32
		var wg sync.WaitGroup
		start := make(chan struct{})
		for range 16 {
			wg.Go(func() {
				<-start
				if _, ok := tickets.Redeem(text); ok {
					won.Add(1)
				}
			})
		}
		close(start)
		wg.Wait()
		if won.Load() != 1 {
			t.Fatalf("%d of 16 redeemed it", won.Load())
		}
	}
}

func TestTicketExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tickets := NewTickets(0)
		early := must(tickets.Issue(&Identity{User: "u1"}))
		time.Sleep(time.Second)
		late := must(tickets.Issue(&Identity{User: "u2"}))
		time.Sleep(ticketLife - time.Second)
		if _, ok := tickets.Redeem(early); ok {
			t.Error("redeemed after its time")
		}
		if tickets.len() != 1 {
			t.Errorf("%d are kept, want 1", tickets.len())
		}
		time.Sleep(time.Second - time.Nanosecond)
		if id, ok := tickets.Redeem(late); !ok || id.User != "u2" {
			t.Error("not redeemed within its time")
		}
	})
}

func TestTicketsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tickets := NewTickets(3)
		id := &Identity{User: "u1"}
		first := must(tickets.Issue(id))
		time.Sleep(time.Second)
		must(tickets.Issue(id))
		must(tickets.Issue(id))
		if _, err := tickets.Issue(id); !errors.Is(err, errFull) {
			t.Fatalf("err = %v, want errFull", err)
		}
		if _, ok := tickets.Redeem(first); !ok {
			t.Fatal("the full set refuses a ticket it has")
		}
		must(tickets.Issue(id)) // room again
		if _, err := tickets.Issue(id); !errors.Is(err, errFull) {
			t.Fatalf("err = %v, want errFull", err)
		}
		time.Sleep(ticketLife - time.Second)
		if _, err := tickets.Issue(id); !errors.Is(err, errFull) {
			t.Fatalf("a second before the oldest goes: err = %v, want errFull", err)
		}
		time.Sleep(time.Second)
		must(tickets.Issue(id)) // the oldest have gone
		if tickets.len() > 3 {
			t.Errorf("%d are kept", tickets.len())
		}
	})
}

// Whatever is issued, redeemed and waited for, tickets do what a plain list of them would.
func TestTicketsModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		const limit = 4
		tickets, clock := NewTickets(limit), noon
		tickets.now = func() time.Time { return clock }
		type entry struct {
			text   string
			id     *Identity
			issued time.Time
		}
		var model, gone []entry
		rt.Repeat(map[string]func(*rapid.T){
			"wait": func(rt *rapid.T) {
				clock = clock.Add(time.Duration(rapid.IntRange(1, 20).Draw(rt, "seconds")) * time.Second)
			},
			"issue": func(rt *rapid.T) {
				id := &Identity{User: "u"}
				text, err := tickets.Issue(id)
				if (err == nil) != (len(model) < limit) {
					rt.Fatalf("issue with %d outstanding: %v", len(model), err)
				}
				if err == nil {
					model = append(model, entry{text, id, clock})
				}
			},
			"redeem": func(rt *rapid.T) {
				if len(model) == 0 {
					rt.Skip("none")
				}
				i := rapid.IntRange(0, len(model)-1).Draw(rt, "which")
				if id, ok := tickets.Redeem(model[i].text); !ok || id != model[i].id {
					rt.Fatalf("redeem: %v, %v", id, ok)
				}
				gone = append(gone, model[i])
				model = append(model[:i:i], model[i+1:]...)
			},
			"again": func(rt *rapid.T) {
				for _, e := range gone {
					if _, ok := tickets.Redeem(e.text); ok {
						rt.Fatal("redeemed twice, or after its time")
					}
				}
			},
			"": func(*rapid.T) { // before and after each of the others
				for len(model) > 0 && clock.Sub(model[0].issued) >= ticketLife {
					gone, model = append(gone, model[0]), model[1:]
				}
			},
		})
	})
}
