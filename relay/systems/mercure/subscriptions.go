package mercure

import (
	"bytes"
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"
)

// document describes a subscription: a subscriber and one of its selectors.
type document struct {
	Context    string          `json:"@context,omitempty"`
	ID         string          `json:"id"`
	Type       string          `json:"type"`
	Subscriber string          `json:"subscriber"`
	Topic      string          `json:"topic,omitempty"`      // 0.x
	Match      string          `json:"match,omitempty"`      // 1.0
	MatchType  string          `json:"match_type,omitempty"` // 1.0
	Active     bool            `json:"active"`
	LastID     string          `json:"lastEventID,omitempty"`
	LastEvent  string          `json:"last_event_id,omitempty"` // 1.0
	Payload    json.RawMessage `json:"payload,omitempty"`
}

// collection is a list of them.
type collection struct {
	Context       string     `json:"@context,omitempty"`
	ID            string     `json:"id"`
	Type          string     `json:"type"`
	LastID        string     `json:"lastEventID,omitempty"`
	LastEvent     string     `json:"last_event_id,omitempty"` // 1.0
	Subscriptions []document `json:"subscriptions"`
}

const contextURL = "https://mercure.rocks/"

// encode is a value as JSON, in which characters of HTML stand for themselves.
func encode(v any, indent string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	_ = e.Encode(v) // of what is made here
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// segment is a text as a segment of a path, everything but unreserved characters encoded (RFC 3986, section 2.3).
func segment(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") }

// documentOf describes a subscription.
func (sub *subscriber) documentOf(x *subscription, active bool) document {
	d := document{Subscriber: sub.id, Active: active, Payload: x.payload}
	if sub.modern {
		d.ID = Path + "/subscriptions/" + x.kind.name() + "/" + segment(x.text) + "/" + segment(sub.id)
		d.Type, d.Match, d.MatchType = "subscription", x.text, x.kind.name()
		return d
	}
	d.ID = Path + "/subscriptions/" + segment(x.text) + "/" + segment(sub.id)
	d.Context, d.Type, d.Topic = contextURL, "Subscription", x.text
	return d
}

// announce tells those who may know that a subscriber's subscriptions begin, or end. They are listed from before they are
// announced until after their end is.
func (s *System) announce(sub *subscriber, active bool) {
	if !s.listed {
		return
	}
	if s.nodes != nil {
		s.nodes.announce(sub, active)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if active == sub.ended || !active && s.subscribers[sub.id] != sub { // it may end while it begins
		return
	}
	if active {
		s.subscribers[sub.id] = sub
	} else {
		delete(s.subscribers, sub.id)
	}
	s.published.Add(len(sub.topics))
	for i := range sub.topics {
		s.tell(sub.notice(i, newID(s.host.Now()), active), s.log.number+1)
	}
}

// notice is the update that says that a subscription begins, or ends.
func (sub *subscriber) notice(i int, id string, active bool) *update {
	d := sub.documentOf(&sub.topics[i], active)
	u := &update{ID: id, Topics: []string{d.ID}, Private: true, Data: string(encode(&d, "  "))}
	if sub.modern {
		u.Type = "mercure"
	}
	return u
}

// tell makes an update about a subscription the next one. The caller holds s.mu.
func (s *System) tell(u *update, number uint64) {
	s.ready(u)
	s.log.add(u, number, true)
	s.dispatch(u)
}

// handleSubscriptions is GET /.well-known/mercure/subscriptions and what is below it.
func (s *System) handleSubscriptions(ctx *fasthttp.RequestCtx) {
	g, bad := s.authorize(ctx, s.now().subscriber)
	path := string(ctx.URI().PathOriginal())
	modern := g != nil && g.modern
	switch {
	case bad != nil:
	case g == nil:
		bad = noToken
	case !s.covers(g.subscribe, path):
		bad = outOfScope
	}
	if bad != nil {
		s.refuse(ctx, bad, modern)
		return
	}
	parts, ok := segments(path)
	most := 2 // topic and subscriber
	if modern {
		most = 3 // and the type before them
	}
	if !ok || len(parts) > most {
		s.fail(ctx, 404, "there is no such subscription")
		return
	}
	if s.nodes != nil {
		s.nodes.catchUp("", 0)
	}
	list, last := s.list(parts, modern)
	s.setCORS(ctx)
	ctx.SetContentType("application/ld+json")
	if modern {
		ctx.SetContentType("application/json")
	}
	tag := `"` + strings.NewReplacer(`"`, "%22", `\`, "%5C").Replace(last) + `"`
	ctx.Response.Header.Set("ETag", tag)
	ctx.Response.Header.Set("Cache-Control", "private, no-cache")
	var answer any
	switch {
	case len(parts) == most && len(list) == 0:
		s.fail(ctx, 404, "there is no such subscription")
		return
	case len(parts) == most && modern:
		list[0].LastEvent = last
		answer = &list[0]
	case len(parts) == most:
		list[0].LastID = last
		answer = &list[0]
	case modern:
		answer = &collection{ID: path, Type: "subscriptions", LastEvent: last, Subscriptions: list}
	default:
		for i := range list {
			list[i].Context = "" // that of the whole
		}
		answer = &collection{Context: contextURL, ID: path, Type: "Subscriptions", LastID: last, Subscriptions: list}
	}
	if known := string(ctx.Request.Header.Peek("If-None-Match")); known == "*" || slices.Contains(strings.Split(strings.ReplaceAll(strings.ReplaceAll(known, " ", ""), "W/", ""), ","), tag) {
		ctx.SetStatusCode(fasthttp.StatusNotModified)
		return
	}
	ctx.SetBody(encode(answer, ""))
}

// segments are the decoded segments of a path below that of the subscriptions.
func segments(path string) (parts []string, ok bool) {
	rest, ok := strings.CutPrefix(path, Path+"/subscriptions")
	if !ok || rest == "" {
		return nil, ok
	}
	for part := range strings.SplitSeq(strings.TrimPrefix(rest, "/"), "/") {
		text, err := url.PathUnescape(part)
		if err != nil {
			return nil, false
		}
		parts = append(parts, text)
	}
	return parts, true
}

// list is the active subscriptions that a path chooses, in the order of their subscribers, and the id of the newest update.
func (s *System) list(parts []string, modern bool) (list []document, last string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last = earliest
	if s.log.last != nil {
		last = s.log.last.ID
	}
	list = []document{}
	for _, sub := range s.subscribers {
		if sub.modern != modern {
			continue
		}
		for i := range sub.topics {
			x := &sub.topics[i]
			have := []string{x.text, sub.id}
			if modern {
				have = []string{x.kind.name(), x.text, sub.id}
			}
			if slices.Equal(parts, have[:len(parts)]) {
				list = append(list, sub.documentOf(x, true))
			}
		}
	}
	slices.SortStableFunc(list, func(a, b document) int { return strings.Compare(a.Subscriber, b.Subscriber) })
	return list, last
}
