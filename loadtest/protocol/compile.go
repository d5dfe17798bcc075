package protocol

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Compiled is a protocol that has been checked. It does not change.
type Compiled struct {
	Protocol
	Path      *Template
	Headers   []Pair
	Topic     *Template
	Open      []CompiledStep
	Message   CompiledArrival
	Refused   []*Matcher
	Answer    []CompiledAnswer
	Heartbeat *Template // nil: none
	Publish   CompiledPublish
	rows      []map[string]string
}

// Pair is a header.
type Pair struct {
	Name  string
	Value *Template
}

// CompiledStep is a Step.
type CompiledStep struct {
	Send   *Template // nil: nothing is sent
	Each   bool      // once for each channel
	Expect *Matcher  // nil: nothing is waited for
	Keep   map[string]Path
}

// CompiledArrival is an Arrival.
type CompiledArrival struct {
	*Matcher
	Channel, Data, ID, Stamp *Path // nil: not given
}

// CompiledAnswer is an Answer.
type CompiledAnswer struct {
	When *Matcher
	Send *Template
}

// CompiledPublish is a Publish.
type CompiledPublish struct {
	Path    *Template
	Headers []Pair
	Body    *Template
	Item    *Template // nil: one message a request
	Between []byte
	Batch   int
	Accept  *Matcher
	Send    *Template // nil: over HTTP
	Open    []CompiledStep
}

// Row is the row of a client; nil when there are none.
func (c *Compiled) Row(client int) map[string]string {
	if len(c.rows) == 0 {
		return nil
	}
	return c.rows[client%len(c.rows)]
}

// compiler collects what is wrong, so that all of it is said at once.
type compiler struct {
	vars   map[string]string
	kept   []string
	faults []error
}

func (c *compiler) wrong(at, value, expected string) {
	c.faults = append(c.faults, fmt.Errorf("target.%s: %s: expected %s: %w", at, value, expected, ErrInvalid))
}

func (c *compiler) template(at, text string, how escape, in scope) *Template {
	t, err := template(text, how, in, c.vars, c.kept)
	if err != nil {
		c.faults = append(c.faults, fmt.Errorf("target.%s: %w: %w", at, err, ErrInvalid))
		return &Template{}
	}
	return t
}

// constant is a template without variables but those of vars.
func (c *compiler) constant(at, text string) []byte {
	t := c.template(at, text, asHeader, inClient)
	if slices.ContainsFunc(t.parts, func(p part) bool { return p.name != "" }) {
		c.wrong(at, fmt.Sprintf("%q", text), "a text without variables but those of vars")
	}
	return t.Append(nil, &Values{}, nil)
}

func (c *compiler) path(at, text string) Path {
	p, err := ParsePath(text)
	if err != nil {
		c.faults = append(c.faults, fmt.Errorf("target.%s: %w: %w", at, err, ErrInvalid))
	}
	return p
}

func (c *compiler) maybePath(at, text string) *Path {
	if text == "" {
		return nil
	}
	p := c.path(at, text)
	return &p
}

// Compile checks a protocol and makes it ready for use. path is the path and query under which subscribers connect, publish
// that of publishers. The error wraps ErrInvalid, or is that of a file, and names everything that is wrong.
func (p Protocol) Compile(path, publish string) (*Compiled, error) {
	c := &compiler{vars: p.Vars}
	for i, s := range slices.Concat(p.Open, p.Publish.Open) {
		if len(s.Keep) > 0 && s.Expect == nil {
			c.wrong(fmt.Sprintf("open[%d].keep", i), "given", "expect beside it")
		}
		c.kept = append(c.kept, slices.Sorted(maps.Keys(s.Keep))...)
	}
	for name := range p.Vars {
		if slices.ContainsFunc(Variables(), func(v Variable) bool { return v.Name == name }) {
			c.wrong("vars."+name, "given", "another name: it has a meaning of its own")
		}
	}
	if p.Topic == "" {
		p.Topic = "{{channel}}"
	}
	if p.Stream == "" {
		p.Stream = StreamWebSocket
	}
	if p.Stream != StreamWebSocket && p.Stream != StreamEvents {
		c.wrong("stream", p.Stream, StreamWebSocket+" or "+StreamEvents)
	}
	out := &Compiled{Protocol: p, Path: c.template("path", path, asURL, inClient), Topic: c.template("topic", p.Topic, asMessage, inTopic), Open: c.steps("open", p.Open)}
	if p.Stream == StreamEvents && (len(p.Open) > 0 || len(p.Answer) > 0 || p.Heartbeat != nil || p.Binary || p.Subprotocol != "") {
		c.wrong("stream", p.Stream, "no open, answer, heartbeat, binary or subprotocol: nothing can be sent on an event stream")
	}
	out.Headers = c.headers(p)
	out.Message = c.arrival(p.Message)
	for i, r := range p.Refused {
		m := c.matcher(fmt.Sprintf("refused[%d]", i), r)
		if m.none {
			c.wrong(fmt.Sprintf("refused[%d]", i), "empty", "text, prefix or match")
		}
		out.Refused = append(out.Refused, m)
	}
	for i, a := range p.Answer {
		at := fmt.Sprintf("answer[%d]", i)
		if a.Send == "" {
			c.wrong(at+".send", `""`, "what to send")
		}
		m := c.matcher(at+".when", a.When)
		if m.none {
			c.wrong(at+".when", "empty", "text, prefix or match")
		}
		out.Answer = append(out.Answer, CompiledAnswer{m, c.template(at+".send", a.Send, asMessage, inAnswer)})
	}
	if h := p.Heartbeat; h != nil {
		if h.Every == 0 {
			h.Every = 30 * time.Second
		}
		if h.Every < 100*time.Millisecond || h.Send == "" {
			c.wrong("heartbeat", h.Every.String(), "send, and every of 100ms or more")
		}
		out.Heartbeat = c.template("heartbeat.send", h.Send, asMessage, inClient)
	}
	out.Publish = c.publish(p.Publish, publish)
	if p.Rows != "" {
		var err error
		if out.rows, err = readRows(p.Rows); err != nil {
			return nil, err
		}
	}
	c.checkRows(out)
	return out, errors.Join(c.faults...)
}

func (c *compiler) steps(at string, steps []Step) (list []CompiledStep) {
	for i, s := range steps {
		at := fmt.Sprintf("%s[%d]", at, i)
		out := CompiledStep{}
		if s.Send != "" {
			out.Send = c.template(at+".send", s.Send, asMessage, inClient)
			out.Each = out.Send.Uses("channel", "topic")
		}
		if s.Expect != nil {
			out.Expect = c.matcher(at+".expect", *s.Expect)
		}
		if s.Send == "" && s.Expect == nil {
			c.wrong(at, "empty", "send or expect")
		}
		for name, path := range s.Keep {
			if out.Keep == nil {
				out.Keep = map[string]Path{}
			}
			out.Keep[name] = c.path(at+".keep."+name, path)
		}
		list = append(list, out)
	}
	return list
}

func (c *compiler) arrival(a Arrival) CompiledArrival {
	if (a.ID != "" || a.Stamp != "") && a.Data != "" {
		c.wrong("message", "data and id", "either data, or id and stamp")
	}
	if a.Stamp != "" && a.ID == "" {
		c.wrong("message.stamp", a.Stamp, "id beside it")
	}
	if a.Offset < 0 {
		c.wrong("message.offset", fmt.Sprint(a.Offset), "0 or more")
	}
	return CompiledArrival{
		Matcher: c.matcher("message", a.Pattern), Channel: c.maybePath("message.channel", a.Channel), Data: c.maybePath("message.data", a.Data),
		ID: c.maybePath("message.id", a.ID), Stamp: c.maybePath("message.stamp", a.Stamp),
	}
}

// headers are the target's, with cookies and the like.
func (c *compiler) headers(p Protocol) (list []Pair) {
	list = c.pairs("headers", p.Headers, inClient)
	if p.Origin != "" {
		list = append(list, Pair{"Origin", c.template("origin", p.Origin, asHeader, inClient)})
	}
	var cookies []string
	for _, name := range slices.Sorted(maps.Keys(p.Cookies)) {
		cookies = append(cookies, name+"="+p.Cookies[name])
	}
	if len(cookies) > 0 {
		list = append(list, Pair{"Cookie", c.template("cookies", strings.Join(cookies, "; "), asHeader, inClient)})
	}
	return list
}

// reserved are headers that the protocol itself sets.
var reserved = []string{"host", "connection", "upgrade", "content-length", "transfer-encoding", "sec-websocket-key", "sec-websocket-version", "sec-websocket-accept"}

func (c *compiler) pairs(at string, headers map[string]string, in scope) (list []Pair) {
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		value := headers[name]
		switch {
		case slices.Contains(reserved, strings.ToLower(name)):
			c.wrong(at+"."+name, fmt.Sprintf("%q", value), "another header: this one is set by the load tester")
		case name == "" || strings.ContainsAny(name, " \t\r\n:") || strings.ContainsAny(value, "\r\n"):
			c.wrong(at, fmt.Sprintf("%q", name+": "+value), "a header's name and a value of one line")
		}
		list = append(list, Pair{name, c.template(at+"."+name, value, asHeader, in)})
	}
	return list
}

// checkRows sees to it that the columns exist, and that those in request heads stay within a line.
func (c *compiler) checkRows(out *Compiled) {
	heads := []*Template{out.Path, out.Publish.Path}
	for _, h := range slices.Concat(out.Headers, out.Publish.Headers) {
		heads = append(heads, h.Value)
	}
	others := []*Template{out.Topic, out.Heartbeat, out.Publish.Body, out.Publish.Item, out.Publish.Send}
	for _, s := range slices.Concat(out.Open, out.Publish.Open) {
		others = append(others, s.Send)
	}
	for i, t := range slices.Concat(heads, others) {
		if t == nil {
			continue
		}
		for _, name := range t.rows() {
			if len(out.rows) == 0 {
				c.wrong("rows", "not given", "a file, because {{row."+name+"}} is used")
				return
			}
			for n, row := range out.rows {
				value, ok := row[name]
				if !ok {
					c.wrong("rows", out.Rows, fmt.Sprintf("%q in row %d, because {{row.%s}} is used", name, n+1, name))
					return
				}
				if i < len(heads) && strings.ContainsAny(value, "\r\n") {
					c.wrong("rows", out.Rows, fmt.Sprintf("%q of row %d to be one line, because it goes into a header", name, n+1))
					return
				}
			}
		}
	}
}
