package documents

import (
	"errors"
	"net/http"
	"strings"
	"sync"

	"github.com/oklog/ulid/v2"
	"github.com/valyala/fasthttp"

	"weir/internal/wire"
	"weir/relay"
	"weir/relay/auth"
	"weir/relay/systems/documents/sharedb"
	"weir/relay/systems/documents/text"
)

// share is ShareDB's protocol, at /documents/sharedb.
type share struct {
	core      *relay.Core
	documents *Documents
	run       string // begins the names of editors: whose name begins otherwise comes from an earlier run
}

// agent is one connection of ShareDB's client. It may follow many documents.
type agent struct {
	// Owned by the session's turn.
	src   string
	stale bool // it comes from an earlier run, whose documents are gone

	// Guarded by mu, which is taken after a document's lock.
	mu     sync.Mutex
	follow map[string]*following // by document
}

// following is a document that an agent follows.
type following struct {
	doc    *Document
	editor *editor
	outlet *shareOutlet
}

func newShare(core *relay.Core, documents *Documents) *share {
	return &share{core, documents, newEpoch()[:8] + "."}
}

func (s *share) live() relay.Live {
	return relay.Live{
		Limit: int(s.documents.config.Message), Admit: s.admit, Open: s.open, Message: s.message, Closed: s.closed, Denied: s.denied,
	}
}

func (s *share) admit(*fasthttp.RequestCtx, *auth.Identity) (any, error) {
	return &agent{src: s.run + ulid.Make().String(), follow: make(map[string]*following)}, nil
}

func (s *share) open(c *relay.Client) {
	c.Send(sharedb.AppendHello(nil, sharedb.Init, c.Value.(*agent).src))
}

func (s *share) closed(c *relay.Client) {
	a := c.Value.(*agent)
	a.mu.Lock()
	follow := a.follow
	a.follow = nil
	a.mu.Unlock()
	for _, f := range follow {
		f.doc.depart(f.editor)
		f.doc.release()
	}
}

// denied ends a session that follows the document.
func (s *share) denied(c *relay.Client, channel, reason string) bool {
	a := c.Value.(*agent)
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, f := range a.follow {
		if f.doc.channel == channel {
			c.Close(closeForbidden, reason)
			return true
		}
	}
	return false
}

// message answers a request.
func (s *share) message(c *relay.Client, data []byte, _ bool) {
	a := c.Value.(*agent)
	r, err := sharedb.Parse(data)
	if err == nil {
		err = s.answer(c, a, &r, data)
	}
	switch {
	case err == nil:
	case r.Action == sharedb.Op && passes(err):
		s.documents.counts.refused.Inc()
		c.Close(closeOverloaded, "overloaded")
	default:
		s.refuse(c, data, err)
	}
}

// passes says whether an operation that was refused may be taken a little later. The client would take it back and
// forget it if it was told: it is ended instead, comes back, and sends it again.
func passes(err error) bool {
	status, _, _ := relay.Told(err)
	return status == http.StatusServiceUnavailable && !errors.Is(err, errOpen)
}

// errUnsupported is what is not spoken here: queries, deleting, and other types.
var errUnsupported = errors.New("unknown or not supported here")

// refuse answers a request with an error.
func (s *share) refuse(c *relay.Client, request []byte, err error) {
	s.documents.counts.refused.Inc()
	if wire.Members(request, func(string, []byte) error { return nil }) != nil {
		request = []byte("{}")
	}
	code, message := shareCode(err)
	if code == sharedb.CodeUnknown {
		s.core.Log().Debug("request refused", "error", err.Error())
	}
	c.Send(sharedb.AppendError(nil, request, code, message))
}

// shareCode is an error as ShareDB's clients know it.
func shareCode(err error) (code, message string) {
	for _, x := range []struct {
		err  error
		code string
	}{
		{sharedb.ErrForm, sharedb.CodeForm}, {errID, sharedb.CodeForm}, {errUnsupported, sharedb.CodeForm},
		{errNone, sharedb.CodeMissing}, {errExists, sharedb.CodeExists}, {errKind, sharedb.CodeType}, {errType, sharedb.CodeType},
		{text.ErrOp, sharedb.CodeBadOp}, {text.ErrRange, sharedb.CodeNotApplied}, {errSplit, sharedb.CodeBadOp},
		{errAhead, sharedb.CodeNewer}, {errStale, sharedb.CodeOpsGone}, {errGone, sharedb.CodeOpsGone},
		{errWrite, sharedb.CodeReadOnly}, {errRead, sharedb.CodeUnread},
	} {
		if errors.Is(err, x.err) {
			return x.code, reason(err)
		}
	}
	for _, x := range []error{errUnanswered, errLarge, errOverloaded, errOpen, errFollow} {
		if errors.Is(err, x) {
			return sharedb.CodeUnknown, reason(err)
		}
	}
	return sharedb.CodeUnknown, "something went wrong here"
}

// reason is what an error says behind its code.
func reason(err error) string {
	if _, behind, ok := strings.Cut(err.Error(), ": "); ok {
		return behind
	}
	return err.Error()
}

var (
	errExists = relay.Fault(409, "exists", "the document exists already", false)
	errType   = relay.Fault(400, "bad_type", "only the type "+sharedb.TextType+" is known here", false)
	errFollow = relay.Fault(429, "too_many", "as many documents as are allowed are followed already", false)
)

func (s *share) answer(c *relay.Client, a *agent, r *sharedb.Request, raw []byte) error {
	switch r.Action {
	case sharedb.Handshake:
		s.handshake(a, r)
		c.Send(sharedb.AppendHello(nil, sharedb.Handshake, a.src))
	case sharedb.Ping:
		c.Send([]byte(`{"a":"pp"}`))
	case sharedb.Fetch:
		return s.fetch(c, a, r)
	case sharedb.Subscribe:
		_, err := s.subscribe(c, a, r.Collection, r.Document, r.Version, nil)
		return err
	case sharedb.Unsubscribe:
		if err := s.unsubscribe(c, a, r.Collection, r.Document); err != nil {
			return err
		}
		c.Send(append(sharedb.AppendNames([]byte{'{'}, r.Action, r.Collection, r.Document), '}'))
	case sharedb.BulkFetch, sharedb.BulkSubscribe, sharedb.BulkUnsub:
		return s.bulk(c, a, r)
	case sharedb.Op:
		return s.submit(c, a, r)
	case sharedb.SnapshotFetch:
		return s.snapshot(c, a, r)
	case "p", "ps", "pu", "pr": // the type has no presence: as where it is switched off
	default:
		return errUnsupported
	}
	return nil
}

// handshake takes the name that the client had on an earlier connection.
func (s *share) handshake(a *agent, r *sharedb.Request) {
	id, err := wire.Text(r.ID)
	if r.ID == nil || err != nil || !wire.ValidName(id) {
		return
	}
	a.src = strings.Clone(id)
	a.stale = !strings.HasPrefix(id, s.run) && s.core.Config().Data == ""
}

// hold opens a document that a client may read. What is not nil is to be released.
func (s *share) hold(c *relay.Client, collection, document string) (*Document, error) {
	id, ok := shareID(collection, document)
	if !ok {
		return nil, errID
	}
	if !s.core.May(c.Identity(), auth.Subscribe, namespace+":"+id) {
		return nil, errRead
	}
	return s.documents.get(id)
}

// created says whether ShareDB's clients see a document. The caller holds mu.
func (d *Document) created() bool { return d.version > 0 }

// appendShare appends a snapshot. The caller holds mu and has loaded the document.
func (d *Document) appendShare(b []byte) []byte {
	if !d.created() {
		return sharedb.AppendSnapshot(b, 0, nil)
	}
	return sharedb.AppendSnapshot(b, d.version, d.body.appendContent)
}

// missed is the operations that a client with a version lacks.
func (a *agent) missed(d *Document, version uint64) ([]*entry, error) {
	if version > d.version || a.stale && version > 0 {
		return nil, errAhead
	}
	entries, ok := d.body.(*textBody).after(d.version, version)
	if !ok {
		return nil, errGone
	}
	return entries, nil
}
