package documents

import (
	"encoding/json"
	"net/http"
	"strconv"
	"unicode/utf8"

	"github.com/valyala/fasthttp"

	"weir/internal/wire"
	"weir/relay"
	"weir/relay/jsonbody"
	"weir/relay/systems/documents/text"
)

// api is what backends may do with documents.
type api struct {
	core      *relay.Core
	documents *Documents
}

func (a *api) serve() {
	a.core.Backend(http.MethodGet, "/v1/documents/{id}", a.on("", a.get))
	a.core.Backend(http.MethodPut, "/v1/documents/{id}", a.on(Text, a.put))
	a.core.Backend(http.MethodDelete, "/v1/documents/{id}", a.on("", a.remove))
	a.core.Backend(http.MethodGet, "/v1/documents/{id}/operations", a.on("", a.history))
	a.core.Backend(http.MethodPost, "/v1/documents/{id}/operations", a.on(Text, a.operate))
}

// on opens the document of a request, which f gets with its lock held; what f answers is awaited without it.
func (a *api) on(kind Kind, f func(ctx *fasthttp.RequestCtx, d *Document) (wait <-chan error, err error)) func(*fasthttp.RequestCtx) error {
	return func(ctx *fasthttp.RequestCtx) error {
		id, err := documentID(ctx)
		if err != nil {
			return err
		}
		d, err := a.documents.get(id)
		if err != nil {
			return err
		}
		defer d.release()
		wait, err := d.with(func() (<-chan error, error) {
			if err := d.load(kind); err != nil {
				return nil, err
			}
			return f(ctx, d)
		})
		if err == nil && wait != nil {
			err = <-wait
		}
		return told(err)
	}
}

// with calls f with the lock held.
func (d *Document) with(f func() (<-chan error, error)) (<-chan error, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return f()
}

// get is GET /v1/documents/{id}: where the document stands, or stood at ?version.
func (a *api) get(ctx *fasthttp.RequestCtx, d *Document) (<-chan error, error) {
	version := d.version
	asked := ctx.QueryArgs().Peek("version")
	if len(asked) > 0 {
		var err error
		if version, err = strconv.ParseUint(string(asked), 10, 64); err != nil {
			return nil, badRequest("version must be a whole number")
		}
	}
	b := append(make([]byte, 0, 256), `{"document":"`...)
	b = append(append(append(b, d.id...), `","kind":"`...), d.kind...)
	b = append(append(append(b, `","epoch":"`...), d.epoch...), `","version":`...)
	b = strconv.AppendUint(b, version, 10)
	t, ok := d.body.(*textBody)
	switch {
	case version > d.version:
		return nil, errAhead
	case !ok && version != d.version:
		return nil, errGone
	case !ok:
		b = d.body.appendContent(append(b, `,"content":`...))
	case version == d.version:
		b = t.buffer.AppendJSON(append(b, `,"text":`...))
	default:
		s, ok := t.at(d.version, version)
		if !ok {
			return nil, errGone
		}
		b = text.AppendString(append(b, `,"text":`...), s)
	}
	return d.told(), jsonbody.Write(ctx, http.StatusOK, json.RawMessage(append(b, '}')))
}

// told is when what a request was answered may be told: what it says is safe by then. The caller holds mu.
func (d *Document) told() <-chan error {
	done := make(chan error, 1)
	d.after(noTicket, func(err error) { done <- err })
	return done
}

// put is PUT /v1/documents/{id}: the text is replaced, by an operation that changes what differs.
func (a *api) put(ctx *fasthttp.RequestCtx, d *Document) (<-chan error, error) {
	var want struct {
		Text   json.RawMessage `json:"text"`
		UserID string          `json:"userId"`
	}
	if err := jsonbody.Read(ctx, &want); err != nil {
		return nil, err
	}
	if want.Text == nil {
		return nil, badRequest("text is missing")
	}
	whole, err := text.ParseString(want.Text)
	switch {
	case err != nil:
		return nil, badRequest("text must be a string of Unicode, without halves of surrogate pairs")
	case len(whole) > int(d.set.config.Size):
		return nil, errLarge
	}
	op := text.Diff(d.body.(*textBody).buffer.String(), whole)
	return a.apply(ctx, d, &edit{base: d.version, op: op, user: want.UserID})
}

// operate is POST /v1/documents/{id}/operations.
func (a *api) operate(ctx *fasthttp.RequestCtx, d *Document) (<-chan error, error) {
	var want struct {
		Operation json.RawMessage `json:"operation"`
		Version   *uint64         `json:"version"`
		Src       string          `json:"src"`
		ID        json.RawMessage `json:"id"`
		UserID    string          `json:"userId"`
	}
	if err := jsonbody.Read(ctx, &want); err != nil {
		return nil, err
	}
	switch {
	case want.Operation == nil:
		return nil, errNoOperation
	case want.Src != "" && !wire.ValidName(want.Src):
		return nil, errSrc
	case want.ID != nil && !validID(want.ID):
		return nil, errMessageID
	case (want.ID == nil) != (want.Src == ""):
		return nil, badRequest("id and src belong together: they are what tells an operation that comes again")
	}
	op, err := text.Parse(want.Operation)
	if err != nil {
		return nil, err
	}
	x := &edit{base: d.version, op: op, user: want.UserID, src: want.Src, id: string(want.ID)}
	if want.Version != nil {
		x.base = *want.Version
	} else if d.repeated(x) {
		x.base = 0
	}
	return a.apply(ctx, d, x)
}

// apply makes an edit and answers the version that it got.
func (a *api) apply(ctx *fasthttp.RequestCtx, d *Document, x *edit) (<-chan error, error) {
	if len(x.user) > maxUser || !utf8.ValidString(x.user) {
		return nil, badRequest("userId must be at most 128 bytes")
	}
	version, _, err := d.edit(x, nil)
	if err != nil {
		return nil, err
	}
	return d.told(), jsonbody.Write(ctx, http.StatusOK, map[string]any{"version": version, "epoch": d.epoch})
}

// maxUser bounds the name of a user that a backend gives.
const maxUser = 128

// repeated says whether an edit that names no version was made before.
func (d *Document) repeated(x *edit) bool {
	for _, e := range d.body.(*textBody).log {
		if x.src != "" && e.src == x.src && e.id == x.id && e.user == x.user {
			x.base = e.version - 1
			return true
		}
	}
	return false
}

// The bounds of a page of operations.
const (
	usualPage = 100
	mostPage  = 1000
)

// history is GET /v1/documents/{id}/operations?since=&limit=: the operations behind a version, oldest first.
func (a *api) history(ctx *fasthttp.RequestCtx, d *Document) (<-chan error, error) {
	args := ctx.QueryArgs()
	since, limit := uint64(0), usualPage
	var err error
	if v := args.Peek("since"); len(v) > 0 {
		if since, err = strconv.ParseUint(string(v), 10, 64); err != nil {
			return nil, badRequest("since must be a version")
		}
	}
	if v := args.Peek("limit"); len(v) > 0 {
		if limit, err = strconv.Atoi(string(v)); err != nil || limit < 1 || limit > mostPage {
			return nil, badRequest("limit must be 1 to 1000")
		}
	}
	if since > d.version {
		return nil, errAhead
	}
	l, ok := d.body.(logged)
	if !ok {
		return nil, errKind
	}
	entries, ok := l.after(d.version, since)
	if !ok {
		return nil, errGone
	}
	more := len(entries) > limit
	entries = entries[:min(limit, len(entries))]
	b := appendList(append(make([]byte, 0, 128*len(entries)+64), `{"operations":`...), entries, appendLogged)
	b = strconv.AppendUint(append(b, `,"version":`...), d.version, 10)
	b = strconv.AppendBool(append(b, `,"more":`...), more)
	return d.told(), jsonbody.Write(ctx, http.StatusOK, json.RawMessage(append(b, '}')))
}

// logged is a body that keeps operations for those who are behind.
type logged interface {
	after(head, version uint64) ([]*entry, bool)
}

// remove is DELETE /v1/documents/{id}: its editors are ended, and nothing of it is kept.
func (a *api) remove(ctx *fasthttp.RequestCtx, d *Document) (<-chan error, error) {
	done := make(chan error, 1)
	d.after(noTicket, func(err error) {
		if err == nil && !d.kept {
			err = errNone // somebody else was faster
		}
		if err != nil {
			done <- err
			return
		}
		receipt, err := d.set.shelf.remove(d.id)
		if err != nil {
			done <- err
			return
		}
		for _, ed := range d.editors {
			ed.end(closeForbidden, "the document was deleted")
		}
		d.body, d.kept, d.version, d.epoch, d.cursors = nil, false, 0, "", nil
		d.after(receipt, func(err error) { done <- err })
	})
	ctx.SetStatusCode(http.StatusNoContent)
	return done, nil
}
