package documents

import (
	"errors"
	"net/http"
	"strings"

	"github.com/oklog/ulid/v2"
	"github.com/valyala/fasthttp"

	"weir/internal/wire"
	"weir/relay"
	"weir/relay/auth"
	"weir/relay/problem"
	"weir/relay/systems/documents/content"
	"weir/relay/systems/documents/sharedb"
	"weir/relay/systems/documents/text"
)

// shareDB is the codec of ShareDB's protocol, at /documents/sharedb. Its connections may follow many documents.
type shareDB struct {
	run string // prefix of the names of editors: another prefix is from an earlier run
}

func newShareDB() shareDB { return shareDB{newEpoch()[:8] + "."} }

func (p shareDB) admit(s *session, args *fasthttp.Args) error {
	s.src, s.forwarded = p.run+ulid.Make().String(), string(args.Peek("src"))
	return nil
}

func (shareDB) hello(s *session) {
	if s.client.Remote() { // its own node has sent it
		s.src = s.forwarded
		return
	}
	s.client.Send(sharedb.AppendHello(nil, sharedb.Init, s.src))
}

// state implements codec. A client follows what it asks for; see subscribe.
func (shareDB) state(*session, *following) [][]byte { return nil }

// message implements codec: every request has an answer.
func (p shareDB) message(s *session, data []byte, _ bool) {
	r, err := sharedb.Parse(data)
	if err == nil {
		err = p.answer(s, &r, data)
	}
	switch {
	case err == nil || s.comesBack(err):
	case r.Keeps() && retryable(err):
		s.documents.counts.refused.Inc()
		s.client.Close(closeOverloaded, "overloaded")
	default:
		s.refuse(data, err)
	}
}

// retryable reports whether a request that was refused may succeed a little later. An error would make the client take an operation
// back and drop it, or stay without the document: the connection is closed instead, and the client comes back and sends it again.
func retryable(err error) bool {
	status := problem.Of(err).Status
	return status == http.StatusServiceUnavailable && !errors.Is(err, errOpen)
}

// refuse responds to a request with an error.
func (s *session) refuse(request []byte, err error) {
	s.documents.counts.refused.Inc()
	if wire.Members(request, func(string, []byte) error { return nil }) != nil {
		request = []byte("{}")
	}
	code, message := shareCode(err)
	if code == sharedb.CodeUnknown {
		s.host.Log().Debug("request refused", "error", err.Error())
	}
	s.client.Send(sharedb.AppendError(nil, request, code, message))
}

var (
	// errUnsupported is for what is not supported: queries, deleting, and other types.
	errUnsupported = errors.New("not supported")

	errExists = problem.New(409, "exists", "the document exists already", false)
	errType   = problem.New(400, "bad_type", "unknown type: only "+sharedb.TextType+" is supported", false)
)

// shareCodes are the codes of errors in ShareDB. The text of an error that is not among them is not sent.
var shareCodes = []struct {
	code   string
	errors []error
}{
	{sharedb.CodeForm, []error{sharedb.ErrForm, errID, errUnsupported}},
	{sharedb.CodeMissing, []error{errNone}},
	{sharedb.CodeExists, []error{errExists}},
	{sharedb.CodeType, []error{errKind, errType}},
	{sharedb.CodeBadOp, []error{text.ErrOp, content.ErrSplit}},
	{sharedb.CodeNotApplied, []error{text.ErrRange}},
	{sharedb.CodeNewer, []error{errAhead}},
	{sharedb.CodeOpsGone, []error{errStale, errGone}},
	{sharedb.CodeReadOnly, []error{errWrite}},
	{sharedb.CodeUnread, []error{errRead}},
	{sharedb.CodeUnknown, []error{errUnanswered, errLarge, errOverloaded, errOpen, errFollow}},
}

// shareCode returns an error as ShareDB's clients know it.
func shareCode(err error) (code, message string) {
	for _, x := range shareCodes {
		for _, known := range x.errors {
			if errors.Is(err, known) {
				_, behind, ok := strings.Cut(err.Error(), ": ")
				if !ok {
					behind = err.Error()
				}
				return x.code, behind
			}
		}
	}
	return sharedb.CodeUnknown, "internal error"
}

func (p shareDB) answer(s *session, r *sharedb.Request, data []byte) error {
	if id, err := shareID(r.Collection, r.Document); err == nil {
		if forwarded, err := s.forward(id, data); forwarded || err != nil {
			return err
		}
	}
	switch r.Action {
	case sharedb.Handshake:
		p.handshake(s, r)
		s.client.Send(sharedb.AppendHello(nil, sharedb.Handshake, s.src))
	case sharedb.Ping:
		s.client.Send([]byte(`{"a":"pp"}`))
	case sharedb.Fetch:
		return s.fetch(r)
	case sharedb.Subscribe:
		_, err := s.subscribe(r.Collection, r.Document, r.Version, nil)
		return err
	case sharedb.Unsubscribe:
		if err := s.unsubscribe(r.Collection, r.Document); err != nil {
			return err
		}
		s.client.Send(append(sharedb.AppendNames([]byte{'{'}, r.Action, r.Collection, r.Document), '}'))
	case sharedb.BulkFetch, sharedb.BulkSubscribe, sharedb.BulkUnsub:
		return s.bulk(r)
	case sharedb.Op:
		return s.submit(r)
	case sharedb.SnapshotFetch:
		return s.snapshot(r)
	case "p", "ps", "pu", "pr": // the type has no presence: ignored, as by a server without it
	default:
		return errUnsupported
	}
	return nil
}

// handshake takes the name that the client had on an earlier connection.
func (p shareDB) handshake(s *session, r *sharedb.Request) {
	id, err := wire.Text(r.ID)
	if err != nil || !wire.ValidName(id) {
		return
	}
	s.src = strings.Clone(id)
	s.stale = !strings.HasPrefix(id, p.run) && s.host.Config().Data == "" && s.host.Alone()
}

// shareID is the document of a collection.
func shareID(collection, name string) (string, error) {
	id := collection + ":" + name
	if collection == "" || name == "" || strings.Contains(collection, ":") || !content.ValidID(id) {
		return "", errID
	}
	return id, nil
}

// readable is shareID for a document that the client may read.
func (s *session) readable(collection, name string) (string, error) {
	id, err := shareID(collection, name)
	if err == nil && !s.may(auth.Subscribe, id) {
		err = errRead
	}
	return id, err
}

// read calls f with the lock of a text that the client may read, and that is in memory.
func (s *session) read(collection, name string, f func(d *document) error) error {
	id, err := s.readable(collection, name)
	if err != nil {
		return err
	}
	return s.documents.with(id, content.Text, f)
}

// created reports whether ShareDB's clients see a document. The caller holds mu.
func (d *document) created() bool { return d.version > 0 }

// appendShare appends a snapshot. The caller holds mu and has loaded the document.
func (d *document) appendShare(b []byte) []byte {
	if !d.created() {
		return sharedb.AppendSnapshot(b, 0, nil)
	}
	return sharedb.AppendSnapshot(b, d.version, d.body.AppendContent)
}

// missed is the operations that a client with a version lacks.
func (s *session) missed(d *document, version uint64) ([]*content.Entry, error) {
	if version > d.version || s.stale && version > 0 {
		return nil, errAhead
	}
	entries, ok := d.body.(*content.TextBody).Since(d.version, version)
	if !ok {
		return nil, errGone
	}
	return entries, nil
}

// shareBroadcaster is the broadcaster for ShareDB.
type shareBroadcaster struct {
	followers
	name sharedb.Name
}

// applied implements broadcaster. The author gets the acknowledgement in the place of the operation.
func (o *shareBroadcaster) applied(e *content.Entry, by *editor) error {
	m := relay.GroupMessage{Data: o.name.AppendOp(make([]byte, 0, 192), e)}
	if by != nil && by.broadcaster == broadcaster(o) {
		m.Exclude, m.Answer = by.connection, o.name.AppendAck(nil, e)
	}
	return o.room.Send(m)
}

func (shareDB) broadcaster(d *document) broadcaster { return d.shareBroadcaster() }

func (d *document) shareBroadcaster() *shareBroadcaster {
	return broadcasterOf(d, func(f followers) *shareBroadcaster {
		collection, document, _ := strings.Cut(d.id, ":")
		return &shareBroadcaster{f, sharedb.Name{Collection: collection, Document: document}}
	})
}
