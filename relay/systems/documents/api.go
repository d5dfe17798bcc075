package documents

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"unicode/utf8"

	"github.com/valyala/fasthttp"

	"weir/internal/wire"
	"weir/relay"
	"weir/relay/auth"
	"weir/relay/cluster"
	"weir/relay/jsonbody"
	"weir/relay/systems/documents/content"
	"weir/relay/systems/documents/message"
	"weir/relay/systems/documents/text"
	"weir/relay/systems/internal/encode"
)

// api is the routes of backends.
type api struct {
	host      relay.Host
	documents *Documents
}

func (a *api) serve() {
	a.host.Backend(http.MethodGet, "/v1/documents/{id}", a.on("", a.get))
	a.host.Backend(http.MethodPut, "/v1/documents/{id}", a.on(content.Text, a.put))
	a.host.Backend(http.MethodDelete, "/v1/documents/{id}", a.on("", a.remove))
	a.host.Backend(http.MethodGet, "/v1/documents/{id}/operations", a.on("", a.history))
	a.host.Backend(http.MethodPost, "/v1/documents/{id}/operations", a.on(content.Text, a.operate))
}

// on opens the document of a request, at the node that owns it. f is called with its lock held; what f returns is waited for without it.
func (a *api) on(kind content.Kind, f func(ctx *fasthttp.RequestCtx, d *document) (wait <-chan error, err error)) func(*fasthttp.RequestCtx) error {
	key := func(ctx *fasthttp.RequestCtx, _ *auth.Identity) string {
		key, _ := documentKey(ctx) // or the handler says what is wrong with it
		return key
	}
	at := a.host.At(key, func(ctx *fasthttp.RequestCtx, _ *auth.Identity) error {
		id, err := documentID(ctx)
		if err != nil {
			return err
		}
		var wait <-chan error
		err = a.documents.with(id, kind, func(d *document) (err error) {
			wait, err = f(ctx, d)
			return err
		})
		if err == nil {
			if err = <-wait; errors.Is(err, cluster.ErrNotOwner) {
				err = errMaybe
			}
		}
		return clientError(err)
	})
	return func(ctx *fasthttp.RequestCtx) error { return at(ctx, nil) }
}

// get is GET /v1/documents/{id}: where the document stands, or stood at ?version.
func (a *api) get(ctx *fasthttp.RequestCtx, d *document) (<-chan error, error) {
	version, err := message.Query(ctx.QueryArgs(), "version", d.version, 0, message.Any)
	if err != nil {
		return nil, err
	}
	member, body := "text", d.body.AppendContent
	t, ok := d.body.(*content.TextBody)
	switch {
	case version > d.version:
		return nil, errAhead
	case !ok && version != d.version:
		return nil, errGone
	case !ok:
		member = "content"
	case version != d.version:
		s, ok := t.At(d.version, version)
		if !ok {
			return nil, errGone
		}
		body = func(b []byte) []byte { return text.AppendString(b, s) }
	}
	b := encode.Object("document", d.id, "kind", string(d.kind), "epoch", d.epoch, "version", version, member, body)
	return d.stored(), jsonbody.Write(ctx, http.StatusOK, json.RawMessage(b))
}

// stored returns what a response has to wait for: the disk has everything that it says by then. The caller holds mu.
func (d *document) stored() <-chan error {
	done := make(chan error, 1)
	d.whenStored(noReceipt, func(err error) { done <- err })
	return done
}

// put is PUT /v1/documents/{id}: the text is replaced, by an operation that changes what differs.
func (a *api) put(ctx *fasthttp.RequestCtx, d *document) (<-chan error, error) {
	var want struct {
		Text   json.RawMessage `json:"text"`
		UserID string          `json:"userId"`
	}
	if err := jsonbody.Read(ctx, &want); err != nil {
		return nil, err
	}
	if want.Text == nil {
		return nil, message.Bad("text is missing")
	}
	whole, err := text.ParseString(want.Text)
	switch {
	case err != nil:
		return nil, message.Bad("text must be a string of Unicode, without halves of surrogate pairs")
	case len(whole) > int(d.set.config.Size):
		return nil, errLarge
	}
	op := text.Diff(d.body.(*content.TextBody).Buffer.String(), whole)
	return a.apply(ctx, d, &edit{base: d.version, op: op, user: want.UserID})
}

// operate is POST /v1/documents/{id}/operations.
func (a *api) operate(ctx *fasthttp.RequestCtx, d *document) (<-chan error, error) {
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
	case want.ID != nil && !message.ValidID(want.ID):
		return nil, message.ErrID
	case (want.ID == nil) != (want.Src == ""):
		return nil, message.Bad("id and src must be given together: they identify a repeated operation")
	}
	op, err := text.Parse(want.Operation)
	if err != nil {
		return nil, err
	}
	x := &edit{base: d.version, op: op, user: want.UserID, src: want.Src, id: string(want.ID)}
	if want.Version != nil {
		x.base = *want.Version
	} else if log := d.body.(*content.TextBody).Log; x.src != "" {
		if i := slices.IndexFunc(log, x.is); i >= 0 { // it comes again
			x.base = log[i].Version - 1
		}
	}
	return a.apply(ctx, d, x)
}

// apply makes an edit and responds with its version.
func (a *api) apply(ctx *fasthttp.RequestCtx, d *document, x *edit) (<-chan error, error) {
	if len(x.user) > maxUser || !utf8.ValidString(x.user) {
		return nil, message.Bad("userId must be at most 128 bytes")
	}
	version, _, err := d.edit(x, nil)
	if err != nil {
		return nil, err
	}
	return d.stored(), jsonbody.Write(ctx, http.StatusOK, map[string]any{"version": version, "epoch": d.epoch})
}

// maxUser bounds the name of a user that a backend gives.
const maxUser = 128

// The bounds of a page of operations.
const (
	usualPage = 100
	mostPage  = 1000
)

// history is GET /v1/documents/{id}/operations?since=&limit=: the operations behind a version, oldest first.
func (a *api) history(ctx *fasthttp.RequestCtx, d *document) (<-chan error, error) {
	since, err := message.Query(ctx.QueryArgs(), "since", 0, 0, message.Any)
	if err != nil {
		return nil, err
	}
	limit, err := message.Query(ctx.QueryArgs(), "limit", usualPage, 1, mostPage)
	if err != nil {
		return nil, err
	}
	if since > d.version {
		return nil, errAhead
	}
	l, ok := d.body.(logged)
	if !ok {
		return nil, errKind
	}
	entries, ok := l.Since(d.version, since)
	if !ok {
		return nil, errGone
	}
	more := uint64(len(entries)) > limit
	entries = entries[:min(limit, uint64(len(entries)))]
	list := func(b []byte) []byte { return encode.List(b, entries, content.AppendLogged) }
	b := encode.Object("operations", list, "version", d.version, "more", more)
	return d.stored(), jsonbody.Write(ctx, http.StatusOK, json.RawMessage(b))
}

// logged is a body that keeps operations for clients that are behind.
type logged interface {
	Since(head, version uint64) ([]*content.Entry, bool)
}

// remove is DELETE /v1/documents/{id}: its editors are ended, and nothing of it is kept.
func (a *api) remove(ctx *fasthttp.RequestCtx, d *document) (<-chan error, error) {
	done := make(chan error, 1)
	d.whenStored(noReceipt, func(err error) {
		if err == nil && !d.saved {
			err = errNone // another request was faster
		}
		if err != nil {
			done <- err
			return
		}
		receipt, err := d.set.store.Remove(d.id)
		if err != nil {
			done <- err
			return
		}
		for _, ed := range d.editors {
			ed.end(closeForbidden, "the document was deleted")
		}
		d.body, d.saved, d.version, d.epoch, d.cursors = nil, false, 0, "", nil
		d.whenStored(receipt, func(err error) { done <- err })
	})
	ctx.SetStatusCode(http.StatusNoContent)
	return done, nil
}
