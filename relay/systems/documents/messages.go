package documents

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/oklog/ulid/v2"
	"github.com/valyala/fasthttp"

	"weir/internal/wire"
	"weir/relay"
	"weir/relay/auth"
)

// messages is the codec of JSON messages as over /ws: how a connection begins, what every message has, pings, refreshes
// and errors. Messages about documents are read and written by a dialect.
type messages struct {
	dialect
	once bool // refuses a message that has a member twice
}

// dialect is the messages about documents of one kind.
type dialect interface {
	broadcaster(d *Document) broadcaster
	state(s *session, f *following) [][]byte

	// member reads a member that not all messages have. Its errors go to the client.
	member(m *request, key string, v []byte) error

	// handle handles a message about the session's document.
	handle(s *session, m *request) error
}

// request is a message of a client.
type request struct {
	kind    string
	id      []byte
	version *uint64
	token   string

	// Of text.
	operation []byte
	position  int
	selection *span

	// Of opaque updates.
	updates []json.RawMessage
	doc     json.RawMessage
}

func (messages) admit(s *session, args *fasthttp.Args) (err error) {
	s.src = string(args.Peek("src"))
	if s.src != "" && !wire.ValidName(s.src) {
		return errSrc
	}
	if v := args.Peek("version"); len(v) > 0 {
		s.resume.epoch = string(args.Peek("epoch"))
		if s.resume.version, err = strconv.ParseUint(string(v), 10, 64); err != nil || s.resume.epoch == "" {
			return badRequest("version must be a whole number, and epoch must be given with it")
		}
	}
	return nil
}

// hello sends "connected".
func (messages) hello(s *session) {
	if s.src == "" {
		s.src = ulid.Make().String()
	}
	b := append(make([]byte, 0, 256), `{"type":"connected","connectionId":"`...)
	b = append(append(b, s.client.ID()...), `","userId":`...)
	b = wire.AppendString(b, s.client.Identity().User)
	b = wire.AppendString(append(b, `,"src":`...), s.src)
	b = strconv.AppendInt(append(b, `,"heartbeat":`...), s.core.Config().Heartbeat.Milliseconds(), 10)
	b = strconv.AppendInt(append(b, `,"limits":{"message":`...), int64(s.documents.config.Message), 10)
	b = strconv.AppendBool(append(b, `},"write":`...), s.may(auth.Publish, s.document))
	s.client.Send(append(b, '}'))
}

func (p messages) message(s *session, data []byte, _ bool) {
	var m request
	err := p.parse(&m, data)
	if err == nil {
		switch m.kind {
		case "ping":
			s.client.Pong(m.id)
		case "refresh":
			err = s.refresh(&m)
		default:
			err = p.handle(s, &m)
		}
	}
	if err != nil {
		s.documents.counts.refused.Inc()
		s.client.SendError(m.id, clientError(err))
	}
}

// ping answers a ping that does not wait for the messages before it.
func (p messages) ping(c *relay.Client, data []byte) bool {
	var m request
	if p.parse(&m, data) != nil || m.kind != "ping" {
		return false
	}
	c.Send(append(bytes.TrimSuffix(wire.AppendID([]byte(`{"type":"pong",`), m.id), []byte{','}), '}'))
	return true
}

// parse reads a message. Its errors go to the client; the id is set if there is a valid one.
func (p messages) parse(m *request, b []byte) error {
	seen := make(map[string]bool, 8)
	var bad error
	err := wire.Members(b, func(key string, v []byte) error {
		if p.once && seen[key] {
			bad = cmp.Or(bad, badRequest("a member is given twice"))
			return nil
		}
		seen[key] = true
		if string(v) != "null" || key == "doc" { // else as if it were not there
			bad = cmp.Or(bad, p.read(m, key, v)) // the id may still come
		}
		return nil
	})
	return cmp.Or(err, bad)
}

func (p messages) read(m *request, key string, v []byte) (err error) {
	switch key {
	case "type":
		m.kind, err = textMember(key, v)
	case "token":
		m.token, err = textMember(key, v)
	case "version":
		m.version, err = versionMember(key, v)
	case "id":
		if !validID(v) {
			return errMessageID
		}
		m.id = v
	default:
		return p.member(m, key, v)
	}
	return err
}

func textMember(key string, v []byte) (string, error) {
	s, err := wire.Text(v)
	if err != nil {
		return "", badRequest(key + " must be a string")
	}
	return s, nil
}

func versionMember(key string, v []byte) (*uint64, error) {
	n, err := strconv.ParseUint(string(v), 10, 64)
	if err != nil {
		return nil, badRequest(key + " must be a whole number")
	}
	return &n, nil
}

var errMessageID = badRequest(fmt.Sprintf("id must be a string or number of at most %d bytes", wire.MaxID))

func validID(v []byte) bool {
	return len(v) <= wire.MaxID && (v[0] == '"' || v[0] == '-' || v[0] >= '0' && v[0] <= '9')
}

// refresh extends the session. A token that does not allow reading ends it.
func (s *session) refresh(m *request) error {
	if err := s.client.Refresh(m.token); err != nil {
		return err
	}
	if !s.may(auth.Subscribe, s.document) {
		s.client.Close(closeForbidden, "the new token does not allow this document")
		return nil
	}
	id := s.client.Identity()
	s.one.doc.mu.Lock()
	s.one.doc.rename(id)
	s.one.doc.mu.Unlock()
	b := wire.AppendID([]byte(`{"type":"ok",`), m.id)
	b = strconv.AppendInt(append(b, `"expiresAt":`...), id.Expires.UnixMilli(), 10)
	b = strconv.AppendBool(append(b, `,"write":`...), s.may(auth.Publish, s.document))
	s.client.Send(append(b, '}'))
	return nil
}

// appendOK appends the answer to a message that was accepted, with its version.
func appendOK(b, id []byte, version uint64) []byte {
	b = wire.AppendID(append(b, `{"type":"ok",`...), id)
	return append(strconv.AppendUint(append(b, `"version":`...), version, 10), '}')
}

// appendDocument appends the beginning of a message of a kind that brings the state of a document.
func (d *Document) appendDocument(b []byte, kind string, id []byte) []byte {
	b = wire.AppendID(append(append(append(b, `{"type":"`...), kind...), `",`...), id)
	b = append(append(append(b, `"document":"`...), d.id...), `","epoch":"`...)
	return strconv.AppendUint(append(append(b, d.epoch...), `","version":`...), d.version, 10)
}

// appendList appends entries as a JSON array.
func appendList(b []byte, entries []*entry, f func([]byte, *entry) []byte) []byte {
	b = append(b, '[')
	for i, e := range entries {
		if i > 0 {
			b = append(b, ',')
		}
		b = f(b, e)
	}
	return append(b, ']')
}
