package chat

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"weir/internal/contain"
	"weir/relay/cluster"
)

// On several nodes a room is kept by the node that owns its channels, and a user's index by the one that owns the user's.

// callSummary is the call for a room as a user's list of rooms has it: a summaryOrder; the answer is a summary.
const callSummary = "chat.summary"

type summaryOrder struct {
	Room string `json:"room"`
	User string `json:"user"`
}

// summary is a room in a user's list.
type summary struct {
	View    json.RawMessage `json:"view,omitempty"`    // of a member
	Pending bool            `json:"pending,omitempty"` // the user is just becoming a member, or is just none any more
}

// withOthers takes part in a cluster, if there is one.
func (s *System) withOthers() {
	s.repairs.wake = make(chan struct{}, 1)
	var ctx context.Context
	ctx, s.repairs.cancel = context.WithCancel(context.Background())
	s.away.Send, s.away.Contain = s.typeThere, s.host.Contain()
	s.host.Contain().Loop(&s.repairs.work, "lists of rooms", contain.Done(ctx), func() { s.repair(ctx) }, nil) // ended by Close
	s.host.Answer(callIndex, s.answerIndex)
	s.host.Answer(callTyping, s.answerTyping)
	s.host.Answer(callSummary, func(body []byte) ([]byte, error) {
		var o summaryOrder
		if err := json.Unmarshal(body, &o); err != nil {
			return nil, fmt.Errorf("request for a room: %w", err)
		}
		x, err := s.summaryHere(o.Room, o.User)
		if errors.Is(err, cluster.ErrNotOwner) {
			err = cluster.ErrNoOwner
		}
		if err != nil {
			return nil, err
		}
		return marshal(x), nil
	})
	s.host.Moved(Name, func(of func(key string) bool, _ bool) { // what is gained may have been another node's just now
		mine := func(room string) bool { return of(stateChannel(room)) }
		s.rooms.drop(mine)
		s.host.Background(func() { s.typing.Drop(mine) }) // which may wait for those who publish
	})
}

// summaryOf is a room as a user's list has it, by the node that owns the room.
func (s *System) summaryOf(room, user string) (summary, error) {
	x, err := summary{}, cluster.ErrNotOwner
	if s.here(room) == nil {
		x, err = s.summaryHere(room, user)
	}
	if !errors.Is(err, cluster.ErrNotOwner) {
		return x, err
	}
	answer, err := s.host.CallOwner(stateChannel(room), callSummary, marshal(summaryOrder{room, user}))
	if err == nil {
		err = json.Unmarshal(answer, &x)
	}
	return x, err
}

// atOnce is how many nodes are asked at the same time for one request.
const atOnce = 16

// each calls f for 0 to n-1, several at the same time if other nodes are asked, and returns an error of one of them, after which no more are called.
func (s *System) each(n int, f func(i int) error) error {
	if s.host.Alone() {
		for i := range n {
			if err := f(i); err != nil {
				return err
			}
		}
		return nil
	}
	var mu sync.Mutex
	var failed error
	next := 0
	var work sync.WaitGroup
	for range min(n, atOnce) {
		err := errors.New("internal error") // of a panic
		s.host.Contain().Go(&work, "nodes of a request", func() {
			for {
				mu.Lock()
				i := next
				over := failed != nil || i >= n
				next++
				mu.Unlock()
				if over {
					return
				}
				if err := f(i); err != nil {
					mu.Lock()
					failed = err
					mu.Unlock()
				}
			}
		}, func() {
			mu.Lock()
			defer mu.Unlock()
			failed = err
		})
	}
	work.Wait()
	return failed
}
