package notify

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"

	"github.com/valyala/fasthttp"

	"weir/broker"
	"weir/internal/wire"
	"weir/relay"
	"weir/relay/auth"
	"weir/relay/cluster"
	"weir/relay/problem"
	"weir/relay/systems/internal/encode"
)

// On several nodes all of a user is done by the node that owns the user's own channel: it has their devices, their notifications and what is pending, and alone
// sends pushes. Who owns an address is kept by the node that owns that channel.

// The kinds of what nodes ask each other.
const (
	callSend    = "notify.send"    // a request
	callRead    = "notify.read"    // marks
	callBusy    = "notify.busy"    // a list of channels of what is pending; see busy
	callClaim   = "notify.claim"   // a claim: the device is the user's from now on
	callOwned   = "notify.owned"   // a claim: is it still?
	callDisown  = "notify.disown"  // a claim: it is no longer
	callAbandon = "notify.abandon" // a claim: the user does not have the device any more
)

// withOthers takes part in a cluster, if there is one.
func (s *System) withOthers() {
	answerTo(s, callSend, s.accept)
	answerTo(s, callRead, s.marked)
	answerTo(s, callClaim, s.claimHere)
	answerTo(s, callOwned, s.ownedHere)
	answerTo(s, callDisown, s.disownHere)
	answerTo(s, callAbandon, s.abandonHere)
	s.host.Answer(callBusy, func(body []byte) ([]byte, error) {
		var ways []string
		if err := json.Unmarshal(body, &ways); err != nil {
			return nil, fmt.Errorf("request for attempts: %w", err)
		}
		return encode.Line(s.attempts.Under(ways)), nil
	})
	s.host.Moved(Name, func(of func(key string) bool, gained bool) {
		s.ways.Moved(of, gained) // first: see resumeWay
		if !gained {
			s.queue.lose(func(d *delivery) bool { return of(wire.UserChannel(d.user)) })
		}
	})
}

// refusal is why a node has not done what another one asked of it.
type refusal struct {
	Status    int    `json:"status,omitempty"`
	Code      string `json:"code,omitempty"`
	Message   string `json:"message,omitempty"`
	Retryable bool   `json:"retryable,omitempty"`
}

// answerTo has f do what other nodes ask of this one.
func answerTo[T any](s *System, kind string, f func(x *T) error) {
	s.host.Answer(kind, func(body []byte) ([]byte, error) {
		x := new(T)
		if err := json.Unmarshal(body, x); err != nil {
			return nil, fmt.Errorf("%s: %w", kind, err)
		}
		err := f(x)
		switch {
		case err == nil:
			return encode.Line(refusal{}), nil
		case errors.Is(err, cluster.ErrNotOwner):
			return nil, cluster.ErrNoOwner
		}
		why := problem.Of(err)
		if why == problem.Internal {
			s.log.Error("a request of another node failed", slog.String("kind", kind), slog.String("error", err.Error()))
		}
		return encode.Line(refusal{why.Status, why.Code, why.Message, why.Retryable}), nil
	})
}

// at has the node that owns a key do something: here does it, if that is this node.
func (s *System) at(key, kind string, body any, here func() error) error {
	err := cluster.ErrNotOwner
	if s.host.Alone() || !s.host.Elsewhere(key) {
		err = here()
	}
	if !errors.Is(err, cluster.ErrNotOwner) {
		return err
	}
	answer, err := s.host.CallOwner(key, kind, encode.Line(body))
	if err != nil {
		return err
	}
	var why refusal
	if err = json.Unmarshal(answer, &why); err == nil && why.Status != 0 {
		err = problem.New(why.Status, why.Code, why.Message, why.Retryable)
	}
	return err
}

// user serves a route of end users, by the node that has the user.
func (s *System) user(method, path string, h relay.UserHandler) {
	s.host.User(method, path, s.host.At(func(_ *fasthttp.RequestCtx, id *auth.Identity) string { return wire.UserChannel(id.User) }, h))
}

// here returns cluster.ErrNotOwner if another node has a user by now: what was read may be older than what that one has said.
func (s *System) here(user string) error {
	if !s.host.Alone() && s.host.Elsewhere(wire.UserChannel(user)) {
		return cluster.ErrNotOwner
	}
	return nil
}

// change makes a change of a channel that this node has, and waits until it is stored. Errors: cluster.ErrNotOwner, another node has it: nothing was done; those of
// relay.Channels.Publish.
func (s *System) change(channel string, p *broker.Publication) error {
	receipt, err := s.host.SubmitOwned(channel, p)
	if err == nil {
		_, err = receipt.Settle()
	}
	return err
}

// free is change for what takes no memory, and is not refused where that is short on one node.
func (s *System) free(channel string, p *broker.Publication) error {
	if !s.host.Alone() {
		return s.change(channel, p)
	}
	_, err := s.host.Broker().Publish(channel, p)
	return err
}

// placeOf returns the key of a channel's node: devices are where their user is.
func placeOf(channel string) string {
	user := channel[len(Namespace)+1:]
	if user != "" && user[0] == '=' && (len(user) < 2 || user[1] == 'o' || user[1] == 'w') { // owners and ways: no user's name is escaped so
		return ""
	}
	return wire.UserNamespace + ":" + user
}
