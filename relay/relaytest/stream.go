package relaytest

import (
	"bufio"
	"context"
	"net/http"
	"strings"
	"time"
)

// Event is a server-sent event, read as the standard says.
type Event struct {
	Type string // "message" without an event field
	Data string
	ID   string // of its own; "" if it brings none
}

// Stream is a client of a route of server-sent events. It belongs to one goroutine.
type Stream struct {
	*Rig
	Header http.Header
	Retry  string // the last one that was told
	LastID string // as an EventSource would send it
	body   *bufio.Reader
	close  func()
}

// Follow opens an event stream with header lines as given; empty ones are left out. Without success the stream
// is nil, and the status says why.
func (g *Rig) Follow(path string, lines ...string) (*Stream, int) {
	g.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.URL+path, nil)
	if err != nil {
		g.Fatal(err)
	}
	for _, line := range lines {
		if name, value, ok := strings.Cut(line, ": "); ok {
			req.Header.Set(name, value)
		}
	}
	late := time.AfterFunc(Patience, cancel)
	resp, err := http.DefaultClient.Do(req)
	late.Stop()
	if err != nil {
		cancel()
		g.Fatal(err)
	}
	end := func() {
		cancel()
		_ = resp.Body.Close()
	}
	if resp.StatusCode != http.StatusOK {
		end()
		return nil, resp.StatusCode
	}
	g.Cleanup(end)
	return &Stream{Rig: g, Header: resp.Header, body: bufio.NewReader(resp.Body), close: end}, resp.StatusCode
}

// Next is the next event; the test fails if none comes.
func (s *Stream) Next() Event {
	s.Helper()
	e, ok := s.read()
	if !ok {
		s.Fatal("the stream has ended, or nothing more came")
	}
	return e
}

// Ended reads what is left and returns the events of it; the test fails if the relay does not end the stream.
func (s *Stream) Ended() []Event {
	s.Helper()
	var out []Event
	for {
		e, ok := s.read()
		if !ok {
			return out
		}
		out = append(out, e)
	}
}

// Try is Next that answers false if the stream has ended.
func (s *Stream) Try() (Event, bool) { return s.read() }

func (s *Stream) read() (Event, bool) {
	late := time.AfterFunc(Patience, s.close)
	defer late.Stop()
	e := Event{Type: "message"}
	var data []string
	for {
		line, err := s.body.ReadString('\n')
		if err != nil {
			return e, false
		}
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			if data == nil {
				e = Event{Type: "message"}
				continue
			}
			e.Data = strings.Join(data, "\n")
			return e, true
		}
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "event":
			e.Type = value
		case "data":
			data = append(data, value)
		case "id":
			e.ID, s.LastID = value, value
		case "retry":
			s.Retry = value
		}
	}
}

// Comment is the text of the next comment; what comes before it is passed over.
func (s *Stream) Comment() string {
	s.Helper()
	late := time.AfterFunc(Patience, s.close)
	defer late.Stop()
	for {
		line, err := s.body.ReadString('\n')
		if err != nil {
			s.Fatal("no comment came: ", err)
		}
		if text, ok := strings.CutPrefix(line, ":"); ok {
			return strings.TrimRight(text, "\r\n")
		}
	}
}

// Drop breaks the stream off without a word.
func (s *Stream) Drop() { s.close() }
