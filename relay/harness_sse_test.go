package relay

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// ssePeer is a client of an event stream.
type ssePeer struct {
	testing.TB
	nc   net.Conn
	body *bufio.Reader
}

// sseEvent is an event as the HTML standard dispatches it.
type sseEvent struct {
	name, data, id string
}

// sse opens an event stream.
func (g *rig) sse(user string, channels ...string) *ssePeer {
	g.Helper()
	return g.sseWith("/sse?"+url.Values{"channel": channels}.Encode(), "Authorization: Bearer "+mint(g, user))
}

func (g *rig) sseWith(target string, lines ...string) *ssePeer {
	g.Helper()
	nc := g.dial()
	req := "GET " + target + " HTTP/1.1\r\nHost: " + g.public + "\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n"
	if _, err := io.WriteString(nc, req); err != nil {
		g.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
	if err != nil {
		g.Fatal(err)
	}
	if resp.StatusCode != 200 || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		g.Fatalf("GET %s: %s %s", target, resp.Status, resp.Header)
	}
	return &ssePeer{TB: g.TB, nc: nc, body: bufio.NewReader(resp.Body)}
}

// event reads the next event.
func (p *ssePeer) event() sseEvent {
	p.Helper()
	var in eventParser
	for {
		line, err := p.body.ReadString('\n')
		if err != nil {
			p.Fatalf("reading an event: %v", err)
		}
		if e, ok := in.line(strings.TrimSuffix(line, "\n")); ok {
			return e
		}
	}
}

// want reads until an event of a name.
func (p *ssePeer) want(name string) message {
	p.Helper()
	for {
		if e := p.event(); e.name == name {
			return parseMessage(p, []byte(e.data))
		}
	}
}

// eventParser is the algorithm of the HTML standard, section 9.2.6, for a stream that is cut into lines.
type eventParser struct {
	sseEvent
	hasData bool
}

func (in *eventParser) line(line string) (sseEvent, bool) {
	if line == "" {
		e := in.sseEvent
		dispatch := in.hasData
		in.name, in.data, in.hasData = "", "", false // the id stays
		if !dispatch {
			return sseEvent{}, false
		}
		e.data = strings.TrimSuffix(e.data, "\n")
		if e.name == "" {
			e.name = "message"
		}
		return e, true
	}
	field, value, _ := strings.Cut(line, ":")
	value = strings.TrimPrefix(value, " ")
	switch field {
	case "event":
		in.name = value
	case "data":
		in.data += value + "\n"
		in.hasData = true
	case "id":
		if !strings.Contains(value, "\x00") {
			in.id = value
		}
	}
	return sseEvent{}, false
}

// events parses a whole stream: lines end in LF, CR or CRLF.
func events(stream string) []sseEvent {
	stream = strings.TrimPrefix(stream, "\ufeff")
	stream = strings.ReplaceAll(strings.ReplaceAll(stream, "\r\n", "\n"), "\r", "\n")
	var in eventParser
	var list []sseEvent
	for line := range strings.SplitSeq(stream, "\n") {
		if e, ok := in.line(line); ok {
			list = append(list, e)
		}
	}
	return list
}
