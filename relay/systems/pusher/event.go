package pusher

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"weir/broker"
	"weir/internal/wire"
	"weir/relay/problem"
)

// event is an event of a backend. Its parts share the memory of the request's body.
type event struct {
	name     []byte // the JSON string, as it came
	data     []byte // likewise, or another value as a string
	channels []string
	socket   string
	info     info
	asked    bool // for info
}

// readEvent reads an event; errors say what is wrong with it.
func (a *app) readEvent(body []byte) (*event, error) {
	e := &event{}
	one := ""
	err := wire.Members(body, func(key string, value []byte) (err error) {
		switch key {
		case "name":
			e.name = value
		case "data":
			e.data = value
		case "channel":
			one, err = wire.Text(value)
		case "channels":
			err = wire.Elements(value, func(v []byte) error {
				name, err := wire.Text(v)
				e.channels = append(e.channels, name)
				return err
			})
		case "socket_id":
			if string(value) != "null" {
				e.socket, err = wire.Text(value)
			}
		case "info":
			if list := ""; string(value) != "null" {
				list, err = wire.Text(value)
				e.info, e.asked = parseInfo(list)
			}
		}
		return err
	})
	if err != nil {
		return nil, badRequest("the body is not an event: " + problem.Of(err).Message)
	}
	if one != "" {
		e.channels = append(e.channels, one)
	}
	return e, a.checkEvent(e)
}

// checkEvent says what is wrong with an event.
func (a *app) checkEvent(e *event) error {
	limit := a.settings.Load().Limit
	name, err := wire.Text(e.name)
	switch {
	case err != nil || name == "":
		return badRequest("name is missing, or no string")
	case len(name) > maxChannel && utf8.RuneCountInString(name) > maxChannel:
		return badRequest("name is longer than 200 characters")
	case strings.HasPrefix(name, "pusher:"), strings.HasPrefix(name, "pusher_internal:"):
		return badRequest("names that begin with pusher: or pusher_internal: are the protocol's own")
	case e.data == nil:
		return badRequest("data is missing")
	case len(e.channels) == 0:
		return badRequest("channel or channels is missing")
	case len(e.channels) > limit.Channels:
		return badRequest("an event may be for " + strconv.Itoa(limit.Channels) + " channels at most")
	case e.socket != "" && !validSocketID(e.socket):
		return badRequest("socket_id must be two numbers with a dot between them")
	}
	for i, channel := range e.channels {
		if !validChannel(channel) {
			return badRequest("channel " + strconv.Itoa(i) + " is not one: expected 1 to 200 letters, digits and _ - = @ , . ;")
		}
		if len(e.channels) > 1 && strings.HasPrefix(channel, "private-encrypted-") {
			return badRequest("an event of an encrypted channel may be for one channel only")
		}
	}
	if e.data[0] != '"' {
		e.data = appendQuoted(nil, e.data)
	}
	if size := len(e.data) - 2; size > int(limit.Payload) {
		if text, _ := wire.Text(e.data); len(text) > int(limit.Payload) {
			a.refuse(refusedSize)
			return &apiError{http.StatusRequestEntityTooLarge, "the data content of this event exceeds the allowed maximum (" + strconv.Itoa(int(limit.Payload)) + " bytes)"}
		}
	}
	return nil
}

// validSocketID reports whether a text reads like the id of a connection.
func validSocketID(id string) bool {
	first, second, ok := strings.Cut(id, ".")
	return ok && first != "" && second != "" && strings.Trim(first, "0123456789") == "" && strings.Trim(second, "0123456789") == ""
}

// admitEvents refuses events of backends beyond the app's limits.
func (a *app) admitEvents(n int) error {
	switch {
	case !a.takeEvents(n):
		return problem.RateLimited.With("the app sends more events a second than it may")
	case a.full():
		return problem.RateLimited.With("limit reached: too many events of the app wait, because its subscribers are too slow")
	}
	return nil
}

// send sends an event to its channels.
func (a *app) send(e *event) error {
	host := a.system.host
	b := append(append(make([]byte, 0, len(e.name)+len(e.data)+64), `{"event":`...), e.name...)
	b = append(append(append(b, `,"data":`...), e.data...), '}')
	for _, name := range e.channels {
		p := broker.Publication{Op: broker.Send, Data: b, Exclude: e.socket}
		k := kindOf(name)
		if k.cache {
			at := strconv.AppendInt([]byte(`,"at":`), host.Now().UnixMilli(), 10)
			p = broker.Publication{Op: broker.Set, Group: cacheGroup, Key: cacheKey, Data: append(append(append([]byte(nil), b[:len(b)-1]...), at...), '}'),
				Exclude: e.socket, TTL: a.settings.Load().Feature.Cache}
		}
		if _, err := host.Publish(channelOf(a.namespace, name), &p); err != nil {
			return err
		}
		a.counters.events.Inc()
		if ch := a.findFilled(k, name); ch != nil {
			ch.filled()
		}
	}
	return nil
}

// findFilled is a cache channel that somebody is subscribed to.
func (a *app) findFilled(k kind, name string) *channel {
	if !k.cache {
		return nil
	}
	return a.find(name)
}

// postEvent is POST /events.
func (c *call) postEvent() ([]byte, error) {
	e, err := c.app.readEvent(c.body)
	if err != nil {
		return nil, err
	}
	if err := c.app.admitEvents(len(e.channels)); err != nil {
		return nil, err
	}
	if err := c.app.send(e); err != nil {
		return nil, err
	}
	if !e.asked {
		return []byte("{}"), nil
	}
	b := []byte(`{"channels":{`)
	for i, name := range e.channels {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(wire.AppendString(b, name), ":{"...)
		b = append(c.app.attributes(b, name, e.info), '}')
	}
	return append(b, "}}"...), nil
}

// postBatch is POST /batch_events. All events are checked before the first one is sent.
func (c *call) postBatch() ([]byte, error) {
	var list []*event
	asked, found := false, false
	limit := c.app.settings.Load().Limit.Batch
	add := func(one []byte) error {
		if len(list) == limit {
			return badRequest("Batch too large: at most " + strconv.Itoa(limit) + " events")
		}
		e, err := c.app.readEvent(one)
		if err != nil {
			return err
		}
		if len(e.channels) > 1 {
			return badRequest("an event of a batch is for one channel")
		}
		list = append(list, e)
		asked = asked || e.asked
		return nil
	}
	var err error
	if rest, ok := bytes.CutPrefix(c.body, []byte(`{"batch":`)); ok && bytes.HasSuffix(rest, []byte("]}")) { // as SDKs write it: read once
		found = true
		err = wire.Elements(rest[:len(rest)-1], add)
	} else {
		err = wire.Members(c.body, func(key string, value []byte) error {
			if key != "batch" {
				return nil
			}
			found = true
			return wire.Elements(value, add)
		})
	}
	if err != nil {
		return nil, c.body400(err)
	}
	if !found {
		return nil, badRequest(`expected {"batch":[...]}`)
	}
	if err := c.app.admitEvents(len(list)); err != nil {
		return nil, err
	}
	b := []byte(`{"batch":[`)
	for i, e := range list {
		if err := c.app.send(e); err != nil {
			return nil, err
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '{')
		if e.asked {
			b = c.app.attributes(b, e.channels[0], e.info)
		}
		b = append(b, '}')
	}
	if !asked {
		return []byte("{}"), nil
	}
	return append(b, "]}"...), nil
}

// body400 is an error of a body that cannot be read.
func (c *call) body400(err error) error {
	if p := problem.Of(err); p == problem.Internal || p.Status != http.StatusBadRequest {
		return err
	}
	return badRequest("the body is not a batch of events: " + problem.Of(err).Message)
}

func parseInt(b []byte) int64 {
	n, _ := strconv.ParseInt(string(b), 10, 64)
	return n
}

func unixMilli(ms int64) time.Time { return time.UnixMilli(ms) }
