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
	"weir/relay/systems/pusher/protocol"
)

// event is an event of a backend. Its parts share the memory of the request's body.
type event struct {
	name   []byte // the JSON string, as it came
	data   []byte // likewise, or another value as a string
	first  int    // of its channels among those of the request
	last   int    // behind them
	socket string
	info   info
	asked  bool // for info
}

// readEvent reads an event of the request, and adds it to events; errors say what is wrong with it.
func (c *call) readEvent(body []byte) error {
	e := event{first: len(c.channels)}
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
				c.channels = append(c.channels, name)
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
		return badRequest("the body is not an event: " + problem.Of(err).Message)
	}
	if one != "" {
		c.channels = append(c.channels, one)
	}
	e.last = len(c.channels)
	if err := c.app.checkEvent(&e, c.channels[e.first:]); err != nil {
		return err
	}
	c.events = append(c.events, e)
	return nil
}

// checkEvent returns what is wrong with an event for channels.
func (a *app) checkEvent(e *event, channels []string) error {
	limit := a.settings.Load().Limit
	name, err := wire.Text(e.name)
	switch {
	case err != nil || name == "":
		return badRequest("name is missing, or is not a string")
	case len(name) > protocol.MaxChannel && utf8.RuneCountInString(name) > protocol.MaxChannel:
		return badRequest("name is longer than 200 characters")
	case strings.HasPrefix(name, "pusher:"), strings.HasPrefix(name, "pusher_internal:"):
		return badRequest("names that begin with pusher: or pusher_internal: are the protocol's own")
	case e.data == nil:
		return badRequest("data is missing")
	case len(channels) == 0:
		return badRequest("channel or channels is missing")
	case len(channels) > limit.Channels:
		return badRequest("an event may be for " + strconv.Itoa(limit.Channels) + " channels at most")
	case e.socket != "" && !protocol.ValidSocketID(e.socket):
		return badRequest("socket_id must be two numbers with a dot between them")
	}
	for i, channel := range channels {
		if !protocol.ValidChannel(channel) {
			return badRequest("channel " + strconv.Itoa(i) + " has an invalid name: expected 1 to 200 letters, digits and _ - = @ , . ;")
		}
		if len(channels) > 1 && strings.HasPrefix(channel, "private-encrypted-") {
			return badRequest("an event of an encrypted channel may be for one channel only")
		}
	}
	if e.data[0] != '"' {
		e.data = protocol.AppendQuoted(nil, e.data)
	}
	if size := len(e.data) - 2; size > int(limit.Payload) {
		if text, _ := wire.Text(e.data); len(text) > int(limit.Payload) {
			a.refuse(refusedSize)
			return &apiError{http.StatusRequestEntityTooLarge, "the data content of this event exceeds the allowed maximum (" + strconv.Itoa(int(limit.Payload)) + " bytes)"}
		}
	}
	return nil
}

// admitEvents refuses events of backends beyond the app's limits.
func (a *app) admitEvents(n int) error {
	switch {
	case !a.takeEvents(n):
		return problem.RateLimited.With("limit reached: events a second of the app")
	case a.full():
		return problem.RateLimited.With("limit reached: too many events of the app wait, because its subscribers are too slow")
	}
	return nil
}

// send sends an event to its channels.
func (c *call) send(e *event) error {
	a, host := c.app, c.app.system.host
	c.scratch = append(append(append(append(c.scratch[:0], `{"event":`...), e.name...), `,"data":`...), e.data...)
	end := len(c.scratch)
	for _, name := range c.channels[e.first:e.last] {
		k := protocol.KindOf(name)
		p := broker.Publication{Op: broker.Send, Exclude: e.socket}
		c.scratch = c.scratch[:end]
		if k.Cache {
			c.scratch = strconv.AppendInt(append(c.scratch, `,"at":`...), host.Now().UnixMilli(), 10)
			p = broker.Publication{Op: broker.Set, Group: protocol.CacheGroup, Key: protocol.CacheKey, Exclude: e.socket, TTL: a.settings.Load().Feature.Cache}
		}
		c.scratch = append(c.scratch, '}')
		p.Data = c.scratch
		if _, err := host.Publish(protocol.ChannelOf(a.namespace, name), &p); err != nil {
			return err
		}
		a.counters.events.Inc()
		if k.Cache {
			a.filled(name)
		}
	}
	return nil
}

// postEvent is POST /events.
func (c *call) postEvent() ([]byte, error) {
	if err := c.readEvent(c.body); err != nil {
		return nil, err
	}
	e := &c.events[0]
	if err := c.app.admitEvents(len(c.channels)); err != nil {
		return nil, err
	}
	if err := c.send(e); err != nil || !e.asked {
		return []byte("{}"), err
	}
	b := []byte(`{"channels":{`)
	for i, name := range c.channels {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(wire.AppendString(b, name), ":{"...)
		v, _ := c.app.look(inquiry{Name: name}) // it has been sent, whatever is known of the channel
		b = append(c.app.attributes(b, &v, e.info), '}')
	}
	return append(b, "}}"...), nil
}

// postBatch is POST /batch_events. All events are checked before the first one is sent.
func (c *call) postBatch() ([]byte, error) {
	found, asked := false, false
	limit := c.app.settings.Load().Limit.Batch
	add := func(one []byte) error {
		if len(c.events) == limit {
			return badRequest("Batch too large: at most " + strconv.Itoa(limit) + " events")
		}
		err := c.readEvent(one)
		if err == nil && len(c.channels) > len(c.events) {
			return badRequest("an event of a batch is for one channel")
		}
		return err
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
	if err := c.app.admitEvents(len(c.events)); err != nil {
		return nil, err
	}
	for i := range c.events {
		if err := c.send(&c.events[i]); err != nil {
			return nil, err
		}
		asked = asked || c.events[i].asked
	}
	if !asked {
		return []byte("{}"), nil
	}
	b := []byte(`{"batch":[`)
	for i, e := range c.events {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '{')
		if e.asked {
			v, _ := c.app.look(inquiry{Name: c.channels[i]})
			b = c.app.attributes(b, &v, e.info)
		}
		b = append(b, '}')
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
