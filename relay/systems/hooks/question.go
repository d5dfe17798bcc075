package hooks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/oklog/ulid/v2"

	"weir/internal/safedial"
	"weir/relay/auth"
	"weir/relay/systems/internal/breaker"
	"weir/relay/systems/internal/post"
)

// hook is one of the questions.
type hook struct {
	// Set once by newHook.
	name    string
	address string
	counts  *hookCounters

	// Safe for concurrent use.
	breaker breaker.Breaker
}

func (s *System) newHook(name, address string) *hook {
	b := s.config.Breaker
	h := &hook{name: name, address: address}
	h.counts = s.counts.of(h)
	h.breaker.After, h.breaker.First, h.breaker.Longest = b.After, b.Rest, b.RestMax
	h.breaker.OnChange = func(open bool) {
		if open {
			s.host.Log().Warn("the backend does not respond: it is not asked again for a while (hooks.breaker)", "hook", name)
			return
		}
		s.host.Log().Info("the backend responds again", "hook", name)
	}
	return h
}

// maxAnswer bounds the body of an answer, in bytes.
const maxAnswer = 64 << 10

// The reasons why there is no answer.
var (
	errOpen = errors.New("the backend did not respond to the last requests: it is not asked again for a while (hooks.breaker)")
	errBusy = errors.New("limit reached: hooks.parallel")
)

// client is what every question says about whom it is asked for.
type client struct {
	User       string          `json:"userId"` // "" for an anonymous client
	Name       string          `json:"name,omitempty"`
	Roles      []string        `json:"roles,omitempty"`
	Connection string          `json:"connectionId,omitempty"`
	Context    json.RawMessage `json:"context,omitempty"` // as the backend has given it
}

func clientOf(id *auth.Identity, connection string) client {
	c := client{User: id.User, Name: id.Name, Roles: id.Roles, Connection: connection}
	if v := visitOf(id); v != nil {
		c.Context = v.context
	}
	return c
}

// ask asks the backend, and has read look at the response. It waits for its turn and for the response, both within the timeout.
// Errors: errOpen, errBusy, those of read, which count as failures of the backend unless they are a refusal, and what is wrong
// with the exchange. They show neither the address nor what the backend has sent.
func (s *System) ask(h *hook, body any, header http.Header, read func(r *post.Response) error) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	if h.breaker.Open(time.Now()) {
		h.counts.outcomes[outcomeOpen].Inc()
		return errOpen
	}
	begun := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), s.config.Timeout)
	defer cancel()
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	default:
		select {
		case s.slots <- struct{}{}:
			defer func() { <-s.slots }()
		case <-ctx.Done():
			h.counts.outcomes[outcomeBusy].Inc()
			return errBusy
		}
	}
	if !h.breaker.Begin(time.Now()) { // it has opened meanwhile
		h.counts.outcomes[outcomeOpen].Inc()
		return errOpen
	}
	err = errors.New("no response") // until there is one: a panic is a failure
	failed := true
	start := time.Now()
	// The wait for a turn has used most of the time: that there was no answer in what is left says nothing of the backend.
	hurried := start.Sub(begun) > s.config.Timeout/2
	defer func() {
		busy := failed && hurried && ctx.Err() != nil
		if busy {
			h.breaker.Cancel()
		} else {
			h.breaker.Done(time.Now(), failed)
		}
		h.counts.seconds.Update(time.Since(start).Seconds())
		switch {
		case busy:
			h.counts.outcomes[outcomeBusy].Inc()
		case failed:
			h.counts.outcomes[outcomeFailed].Inc()
			s.host.Log().Warn("no valid response from the backend", "hook", h.name, "error", err.Error())
		}
	}()
	signed := post.Signed(s.keys, "ask_"+ulid.Make().String(), s.now(), b)
	for name, values := range header {
		signed[name] = values
	}
	signed.Set("Accept", "application/json")
	var r *post.Response
	r, err = post.Send(ctx, s.client, h.address, signed, b, maxAnswer+1)
	switch {
	case err != nil:
		text := safedial.Problem(err) // without the address, which may hold a secret
		if errors.Is(err, safedial.ErrRedirect) {
			text += ", which is not followed: expected 401 if nobody is signed in"
		}
		err = errors.New(text)
	case len(r.Body) > maxAnswer:
		err = fmt.Errorf("the response is larger than %d bytes", maxAnswer)
	case r.Status >= 500 || r.Status == http.StatusTooManyRequests || r.Status == http.StatusRequestTimeout:
		err = fmt.Errorf("status %d", r.Status)
	default:
		err = read(r)
	}
	var no *refusal
	failed = err != nil && !errors.As(err, &no)
	return err
}

// refusal is an answer by which the backend refuses something.
type refusal struct {
	status int
	code   string // "" if the backend has said none
	reason string // for people; "" if it has said none
	page   bool   // it has sent HTML
}

func (r *refusal) Error() string { return fmt.Sprintf("refused with status %d", r.status) }

// unexpected is the error about an answer that is none.
func unexpected(r *post.Response, want string) error {
	hint := ""
	switch r.Status {
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		hint = "; is there a route for this POST?"
	case 419, http.StatusUnprocessableEntity: // what Laravel and Rails say
		hint = "; is the route exempt from the check for forged requests (CSRF)?"
	}
	return fmt.Errorf("unexpected response, status %d: expected %s%s", r.Status, want, hint)
}
