package protocol

import (
	"fmt"
	"slices"
)

// publish compiles how messages are published. path is the path and query of requests.
func (c *compiler) publish(p Publish, path string) CompiledPublish {
	out := CompiledPublish{Batch: p.Batch, Between: []byte(p.Between)}
	if out.Batch == 0 {
		out.Batch = 1
		if p.Item != "" || p.Send != "" {
			out.Batch = 1000
		}
	}
	if p.Send != "" {
		if p.URL != "" || p.Body != "" || p.Item != "" || p.Method != "" || len(p.Headers) > 0 || len(p.Status) > 0 || len(p.Accept) > 0 {
			c.wrong("publish", "send and a request", "either send, for a WebSocket, or url and body, for HTTP")
		}
		out.Send, out.Open = c.template("publish.send", p.Send, asMessage, inPublish), c.steps("publish.open", p.Open)
		return out
	}
	if p.Body == "" && !slices.Contains([]string{"GET", "HEAD", "DELETE"}, p.Method) {
		c.wrong("publish", "without body and send", `how to publish: body, such as '{"channel":"{{channel}}","data":{{payload}}}', or send`)
		return out
	}
	if len(p.Open) > 0 {
		c.wrong("publish.open", "given", "send beside it: only WebSockets have something to say first")
	}
	body := inPublish | inBody
	if p.Item != "" {
		body = inBody
	}
	out.Path, out.Headers = c.template("publish.url", path, asURL, inPublish), c.pairs("publish.headers", p.Headers, inPublish)
	out.Body, out.Accept = c.template("publish.body", p.Body, asMessage, body), c.matcher("publish.accept", Pattern{Match: p.Accept})
	if p.Item != "" {
		out.Item = c.template("publish.item", p.Item, asMessage, inPublish)
	}
	switch {
	case (p.Item != "") != out.Body.Uses("items"):
		c.wrong("publish.item", fmt.Sprintf("%q", p.Item), "item and {{items}} in body, or neither")
	case p.Item != "" && (out.Path.Uses("channel", "topic") || headersUse(out.Headers, "channel", "topic")):
		c.wrong("publish.item", "given", "no {{channel}} in url and headers beside it: messages of one request have several channels")
	case out.Batch < 1 || out.Batch > 10_000 || p.Item == "" && out.Batch > 1:
		c.wrong("publish.batch", fmt.Sprint(p.Batch), "1 to 10000, and more than 1 only with item")
	}
	for _, s := range p.Status {
		if s < 100 || s > 599 {
			c.wrong("publish.status", fmt.Sprint(s), "statuses of 100 to 599")
		}
	}
	return out
}

// Accepted reports whether a response means that everything was accepted.
func (c *Compiled) Accepted(status int, body []byte) bool {
	ok := status >= 200 && status < 300
	if list := c.Protocol.Publish.Status; len(list) > 0 {
		ok = false
		for _, s := range list {
			ok = ok || s == status
		}
	}
	if !ok || c.Publish.Accept.Everything() {
		return ok
	}
	_, ok = c.Publish.Accept.Rest(body, &Values{}, nil)
	return ok
}

func headersUse(list []Pair, names ...string) bool {
	for _, h := range list {
		if h.Value.Uses(names...) {
			return true
		}
	}
	return false
}
