package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"weir/internal/remote"
)

// open opens a WebSocket and waits for the relay's first message.
func (x *examination) open(ctx context.Context) (*remote.Conn, *connected, error) {
	c, err := x.Relay.Dial(ctx, nil)
	if err != nil {
		return nil, nil, err
	}
	var first connected
	if err := c.Await(ctx, "connected", &first); err != nil {
		c.Close()
		return nil, nil, err
	}
	return c, &first, nil
}

// upgrade opens a WebSocket without an Origin, as a program does: what is in the way then is no page's fault.
func upgrade(ctx context.Context, x *examination) Finding {
	page := x.Relay.Origin
	x.Relay.Origin = ""
	defer func() { x.Relay.Origin = page }()
	c, first, err := x.open(ctx)
	refused, isRefusal := errors.AsType[*remote.Refusal](err)
	switch {
	case err == nil:
		c.Close()
		x.connected, x.upgrades = first, true
		return ok("a WebSocket is opened")
	case isRefusal && refused.Status == http.StatusUnauthorized && x.Relay.Token == "":
		x.upgrades = true
		return ok("a WebSocket would be opened for a client with a token; --token TOKEN tries one")
	case isRefusal && refused.Status == http.StatusUnauthorized:
		x.upgrades = true
		return failed(err.Error(), "the upgrade works, but the token is refused: weir token check, run where the configuration is, gives the reason")
	case isRefusal && (refused.Status == http.StatusUpgradeRequired || refused.Status == http.StatusBadRequest):
		return failed(err.Error(), "the proxy drops the upgrade: nginx needs proxy_http_version 1.1, proxy_set_header Upgrade $http_upgrade and proxy_set_header Connection upgrade; Caddy passes both on unless request_header or header_up takes them away")
	case isRefusal && refused.Code == "":
		return failed(err.Error(), "the response is from the proxy, not from the relay: route /ws to the relay")
	}
	return failed(err.Error(), "")
}

// origin opens a WebSocket as a page would.
func origin(ctx context.Context, x *examination) (f Finding) {
	if !x.upgrades {
		return skipped("no WebSocket is opened")
	}
	defer func() {
		if f.State == Failed {
			x.Relay.Origin = "" // what follows is looked at by itself
		}
	}()
	page := x.Relay.Origin
	own := x.Relay.URL.Scheme + "://" + x.Relay.URL.Host
	if page == "" {
		x.Relay.Origin = own
		defer func() { x.Relay.Origin = "" }()
	}
	c, _, err := x.open(ctx)
	refused, isRefusal := errors.AsType[*remote.Refusal](err)
	switch {
	case err == nil:
		c.Close()
	case !isRefusal || refused.Status != http.StatusUnauthorized || x.connected != nil: // who a client is is asked after where it comes from
		if isRefusal && refused.Status == http.StatusForbidden && x.Relay.Origin == own && x.Relay.URL.Scheme == "https" {
			return failed(err.Error(), "list "+own+" in origins of the relay, which takes http for its own scheme where a proxy ends TLS")
		}
		if isRefusal && refused.Status == http.StatusForbidden && x.Relay.Origin == own {
			return failed(err.Error(), "the relay does not recognize its own origin: let the proxy keep Host (nginx: proxy_set_header Host $http_host), or list "+own+" in origins")
		}
		if isRefusal && refused.Status == http.StatusForbidden {
			return failed(err.Error(), "list "+x.Relay.Origin+" in origins of the relay")
		}
		return failed(err.Error(), "")
	}
	return ok("pages of " + x.Relay.Origin + " are let in")
}

// channel is the one that is tried.
func (x *examination) channel() string {
	if x.Channel != "" {
		return x.Channel
	}
	return x.connected.Channel
}

// position is where a subscription stands.
type position struct {
	Epoch string `json:"epoch"`
	Seq   uint64 `json:"seq"`
}

// subscribed is the answer to a subscription.
type subscribed struct {
	Position  position `json:"position"`
	Recovered bool     `json:"recovered"`
	Changes   []struct {
		Seq uint64 `json:"seq"`
	} `json:"changes"` // since the position that was asked for
}

// follows reports whether s has each change after a position, none missing and none twice.
func (s *subscribed) follows(from position) bool {
	for _, c := range s.Changes {
		if from.Seq++; c.Seq != from.Seq {
			return false
		}
	}
	return s.Position == from
}

func (x *examination) subscribe(ctx context.Context, c *remote.Conn, from *position) (s subscribed, err error) {
	err = c.Send(struct {
		Type     string    `json:"type"`
		ID       int       `json:"id"`
		Channel  string    `json:"channel"`
		Position *position `json:"position,omitempty"`
	}{"subscribe", 1, x.channel(), from})
	if err == nil {
		err = c.Await(ctx, "subscribed", &s)
	}
	return s, err
}

// resume leaves a channel and comes back to where it stood, by another connection.
func resume(ctx context.Context, x *examination) Finding {
	if x.connected == nil || x.channel() == "" {
		return skipped("there is no channel to try it with")
	}
	var before, at subscribed
	for round := range 2 {
		c, _, err := x.open(ctx)
		if err != nil {
			return failed(err.Error(), "")
		}
		var from *position
		if round == 1 {
			before = at
			from = &before.Position
		}
		at, err = x.subscribe(ctx, c, from)
		c.Close()
		if err != nil {
			return failed(err.Error(), "")
		}
	}
	if !at.Recovered {
		return failed("a client that comes back to "+x.channel()+" does not go on where it stood", "keep a log in its namespace (namespaces.*.history), or send both connections to the same relay")
	}
	if !at.follows(before.Position) {
		return failed(fmt.Sprintf("a client that comes back to %s at %d gets %d changes up to %d: some are missing", x.channel(), before.Position.Seq, len(at.Changes), at.Position.Seq),
			"something between here and the relay changes what is sent: let it pass WebSockets as they are")
	}
	return ok("a client that comes back to " + x.channel() + " goes on where it stood, without a gap")
}

// watched is how long a quiet connection is watched.
func (x *examination) watched() time.Duration {
	if x.Idle > 0 || x.Quick || x.connected == nil || x.connected.Heartbeat <= 0 {
		return x.Idle
	}
	beat := time.Duration(x.connected.Heartbeat) * time.Millisecond
	return beat + beat/10 + time.Second // pings are sent in parts of a heartbeat
}

// idle watches a connection on which nothing is sent but the relay's pings.
func idle(ctx context.Context, x *examination) Finding {
	watch := x.watched()
	switch {
	case x.connected == nil:
		return skipped("no client was let in")
	case watch == 0:
		return skipped("not watched; without --quick it takes one heartbeat")
	}
	c, first, err := x.open(ctx)
	if err != nil {
		return failed(err.Error(), "")
	}
	defer c.Close()
	within, cancel := context.WithTimeout(ctx, watch)
	defer cancel()
	begun := time.Now()
	for err == nil {
		_, err = c.Next(within)
	}
	beat := time.Duration(first.Heartbeat) * time.Millisecond
	switch lived := time.Since(begun).Round(time.Second); {
	case within.Err() == nil:
		return failed(fmt.Sprintf("a quiet connection has ended after %s: %v", lived, err),
			"the proxy ends idle connections before the relay's heartbeat of "+beat.String()+": raise its timeout (nginx: proxy_read_timeout 75s; Caddy: neither read_timeout nor stream_timeout) or lower heartbeat")
	case watch > beat+time.Second && c.Pings() == 0:
		return failed("no ping arrived in "+watch.String(), "something between here and the relay drops pings: let it pass WebSockets as they are")
	}
	return ok(fmt.Sprintf("a quiet connection lives longer than %s; the heartbeat is %s", watch, beat))
}
