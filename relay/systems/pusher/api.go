package pusher

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/valyala/fasthttp"

	"weir/internal/wire"
	"weir/relay/ingress"
	"weir/relay/problem"
	"weir/relay/systems/pusher/protocol"
)

// call is a request to the HTTP API, whose signature has been checked.
type call struct {
	ctx   *fasthttp.RequestCtx
	app   *app
	query protocol.Parameters
	body  []byte

	// Of events.
	events   []event
	channels []string // of all of them, one event's behind the other's
	scratch  []byte
}

// calls are used again: their slices are.
var calls = sync.Pool{New: func() any { return new(call) }}

// release gives the call back. It keeps nothing of the request.
func (c *call) release() {
	clear(c.query)
	clear(c.events)
	clear(c.channels)
	*c = call{query: c.query[:0], events: c.events[:0], channels: c.channels[:0], scratch: c.scratch[:0]}
	if cap(c.scratch) <= 64<<10 {
		calls.Put(c)
	}
}

// apiError is an error as SDKs are told it.
type apiError struct {
	status int
	text   string
}

// Error implements error.
func (e *apiError) Error() string { return e.text }

func badRequest(text string) error { return &apiError{http.StatusBadRequest, text} }

// serveAPI serves the HTTP API.
func (s *System) serveAPI(path string) {
	for _, r := range []struct {
		method, path string
		handle       func(c *call) ([]byte, error)
	}{
		{http.MethodPost, "/events", (*call).postEvent},
		{http.MethodPost, "/batch_events", (*call).postBatch},
		{http.MethodGet, "/channels", (*call).getChannels},
		{http.MethodGet, "/channels/{channel}", (*call).getChannel},
		{http.MethodGet, "/channels/{channel}/users", (*call).getUsers},
		{http.MethodPost, "/users/{user}/terminate_connections", (*call).terminate},
		{http.MethodGet, "/connections", (*call).getConnections},
	} {
		s.host.Raw(r.method, path+"/apps/{id}"+r.path, func(ctx *fasthttp.RequestCtx) {
			uri := ctx.Request.URI()
			id, _ := ctx.UserValue("id").(string)
			status, out := s.answer(&apiRequest{ctx, id, r.method, string(bytes.TrimPrefix(uri.PathOriginal(), []byte(path))), string(uri.QueryString()), ctx.Request.Body()}, r.handle)
			if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
				ctx.Response.Header.Set("Retry-After", "1")
			}
			ctx.SetStatusCode(status)
			ctx.Response.Header.SetContentType("application/json")
			ctx.SetBody(out)
		})
	}
	s.host.Fast(ingress.FastRoute{Prefix: path + "/apps/", Serve: func(target, body []byte) (status int, out []byte, ok bool) {
		at, query, _ := strings.Cut(string(target[len(path):]), "?")
		id, name, _ := strings.Cut(at[len("/apps/"):], "/")
		handle := (*call).postEvent
		if name == "batch_events" {
			handle = (*call).postBatch
		} else if name != "events" {
			return 0, nil, false
		}
		if strings.IndexByte(at, '%') >= 0 || bytes.Contains(body, []byte(`"info"`)) { // that may be much
			return 0, nil, false
		}
		status, out = s.answer(&apiRequest{nil, id, http.MethodPost, at, query, body}, handle)
		return status, out, true
	}})
}

// apiRequest is a request to the HTTP API.
type apiRequest struct {
	ctx         *fasthttp.RequestCtx // nil: it is served at an event loop
	id          string               // of the app
	method      string
	path, query string // as they came; the path from "/apps/" on: what stands before it SDKs do not sign
	body        []byte
}

// answer has a request answered. It returns the status and the body.
func (s *System) answer(r *apiRequest, handle func(c *call) ([]byte, error)) (int, []byte) {
	c := calls.Get().(*call)
	defer c.release()
	out, err := s.try(c, r, handle)
	if err == nil {
		return http.StatusOK, out
	}
	var e *apiError
	if !errors.As(err, &e) {
		p := problem.Of(err)
		e = &apiError{p.Status, p.Message}
		if p == problem.Internal {
			s.host.Log().Error("request failed", "path", r.path, "error", err.Error())
		}
	}
	b := wire.AppendString([]byte(`{"error":`), e.text)
	return e.status, append(b, `,"code":`+itoa(e.status)+`}`...)
}

// try checks who asks, and has the request carried out.
func (s *System) try(c *call, r *apiRequest, handle func(c *call) ([]byte, error)) (out []byte, err error) {
	c.ctx, c.app, c.body = r.ctx, (*s.byID.Load())[r.id], r.body
	if c.app == nil {
		return nil, &apiError{http.StatusNotFound, "there is no app with this id"}
	}
	if c.query, err = protocol.ParseQuery(c.query, r.query); err != nil {
		return nil, badRequest("the query cannot be read: " + err.Error())
	}
	if err := c.query.VerifyRequest(c.app.settings.Load().signers, r.method, r.path, c.body, s.host.Now()); err != nil {
		c.app.refuse(refusedSignature)
		return nil, &apiError{http.StatusUnauthorized, err.Error()}
	}
	if c.app.settings.Load().Disabled {
		return nil, &apiError{http.StatusForbidden, "the app is disabled"}
	}
	return handle(c)
}

// name is the channel in the address.
func (c *call) name() (string, error) {
	name, err := decoded(c.ctx.UserValue("channel"))
	if err != nil || !protocol.ValidChannel(name) {
		return "", badRequest("the name of the channel is invalid: expected 1 to 200 letters, digits and _ - = @ , . ;")
	}
	return name, nil
}

// decoded is a part of the address as it was meant: the router leaves some escapes.
func decoded(value any) (string, error) {
	text, _ := value.(string)
	if !strings.Contains(text, "%") {
		return text, nil
	}
	return url.PathUnescape(text)
}

// info is the attributes that are asked for.
type info struct{ users, subscriptions, cache bool }

func parseInfo(text string) (i info, asked bool) {
	for name := range strings.SplitSeq(text, ",") {
		switch strings.TrimSpace(name) {
		case "user_count":
			i.users = true
		case "subscription_count":
			i.subscriptions = true
		case "cache":
			i.cache = true
		}
	}
	return i, i != info{}
}

// attributes appends those of a channel that apply, each behind a comma or the first brace.
func (a *app) attributes(b []byte, v *view, i info) []byte {
	member := func(key, value string) {
		if b[len(b)-1] != '{' {
			b = append(b, ',')
		}
		b = append(append(append(append(b, '"'), key...), `":`...), value...)
	}
	if i.users && protocol.KindOf(v.Name).Presence {
		member("user_count", itoa(v.Users))
	}
	if i.subscriptions {
		member("subscription_count", itoa(v.Sockets))
	}
	return b
}

// getChannels is GET /channels: those that somebody is subscribed to.
func (c *call) getChannels() ([]byte, error) {
	prefix := c.query.Get("filter_by_prefix")
	i, _ := parseInfo(c.query.Get("info"))
	if i.users && !strings.HasPrefix(prefix, "presence-") {
		return nil, badRequest("user_count is for presence channels: filter_by_prefix must begin with presence-")
	}
	list := c.app.occupiedHere(prefix)
	err := c.app.everywhere(callOccupied, inquiry{Prefix: prefix}, func(body []byte) error {
		var more []view
		err := json.Unmarshal(body, &more)
		list = append(list, more...)
		return err
	})
	if err != nil {
		return nil, err
	}
	b := []byte(`{"channels":{`)
	for n := range list {
		if n > 0 {
			b = append(b, ',')
		}
		b = append(wire.AppendString(b, list[n].Name), ":{"...)
		b = append(c.app.attributes(b, &list[n], i), '}')
	}
	return append(b, "}}"...), nil
}

// getChannel is GET /channels/{channel}.
func (c *call) getChannel() ([]byte, error) {
	name, err := c.name()
	if err != nil {
		return nil, err
	}
	i, _ := parseInfo(c.query.Get("info"))
	k := protocol.KindOf(name)
	if i.users && !k.Presence {
		return nil, badRequest("user_count is for presence channels")
	}
	v, err := c.app.look(inquiry{Name: name, State: i.cache && k.Cache})
	if err != nil {
		return nil, err
	}
	b := append([]byte(`{"occupied":`), map[bool]string{true: "true", false: "false"}[v.Sockets > 0]...)
	b = c.app.attributes(b, &v, i)
	if i.cache && k.Cache {
		b = append(b, `,"cache":`...)
		b = append(c.app.appendCache(b, protocol.ParseState(v.State).Cached), '}')
		return b, nil
	}
	return append(b, '}'), nil
}

// appendCache appends the last event of a cache channel, null if there is none.
func (a *app) appendCache(b, item []byte) []byte {
	if item == nil {
		return append(b, "null"...)
	}
	data := []byte("null")
	at := int64(0)
	_ = wire.Members(item, func(key string, value []byte) error {
		switch key {
		case "data":
			data = value
		case "at":
			at = parseInt(value)
		}
		return nil
	})
	ttl := a.settings.Load().Feature.Cache - a.system.host.Now().Sub(unixMilli(at))
	b = append(append(b, `{"data":`...), data...)
	return append(append(append(b, `,"ttl":`...), itoa(max(int(ttl.Seconds()), 0))...), '}')
}

// getUsers is GET /channels/{channel}/users.
func (c *call) getUsers() ([]byte, error) {
	name, err := c.name()
	if err != nil {
		return nil, err
	}
	if !protocol.KindOf(name).Presence {
		return nil, badRequest("users are in presence channels only")
	}
	v, err := c.app.look(inquiry{Name: name, State: true})
	if err != nil {
		return nil, err
	}
	b := []byte(`{"users":[`)
	for i, m := range protocol.ParseState(v.State).Members {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, `{"id":`...), m.ID...), '}')
	}
	return append(b, "]}"...), nil
}

// terminate is POST /users/{user}/terminate_connections.
func (c *call) terminate() ([]byte, error) {
	user, err := decoded(c.ctx.UserValue("user"))
	if err != nil {
		return nil, badRequest("the id of the user cannot be read")
	}
	body, err := json.Marshal(inquiry{App: c.app.id, User: user})
	if err != nil {
		return nil, err
	}
	if !c.app.shared {
		c.app.users.terminate(user)
	} else {
		c.app.system.host.Notify(actTerminate, body, true)
	}
	return []byte("{}"), nil
}

// getConnections is GET /connections.
func (c *call) getConnections() ([]byte, error) {
	count := int(c.app.connections.Load())
	err := c.app.everywhere(callSockets, inquiry{}, func(body []byte) error {
		n, err := strconv.Atoi(string(body))
		count += n
		return err
	})
	return append(append([]byte(`{"connections":`), itoa(count)...), '}'), err
}
