package documents

import (
	"sync/atomic"

	"weir/relay"
	"weir/relay/systems/documents/sharedb"
	"weir/relay/systems/documents/text"
	"weir/relay/systems/internal/encode"
)

// bulkAnswer is one response about several documents. It is sent when all that is in it is stored.
type bulkAnswer struct {
	client *relay.Client
	answer []byte // set before the last arrives

	left   atomic.Int32 // documents that are waited for, and one for bulk itself
	failed atomic.Bool
}

// await has the answer wait until a document is stored as it is. The caller holds the document's lock. It may be called on
// nil, which waits for nothing.
func (g *bulkAnswer) await(d *document) {
	if g == nil {
		return
	}
	g.left.Add(1)
	d.whenStored(noReceipt, g.stored)
}

func (g *bulkAnswer) stored(err error) {
	if err != nil {
		g.failed.Store(true)
	}
	switch {
	case g.left.Add(-1) > 0:
	case g.failed.Load():
		g.client.Close(closeOverloaded, "not stored")
	default:
		g.client.Send(g.answer)
	}
}

// bulk does for many documents of a collection what is done for one. An error about one of them is answered for that one
// only.
func (s *session) bulk(r *sharedb.Request) error {
	if left, err := s.forwardBulk(r); err != nil || !left {
		return err
	}
	data := []byte{'{'}
	g := &bulkAnswer{client: s.client}
	g.left.Store(1)
	for _, k := range r.Bulk {
		var part []byte
		var err error
		switch r.Action {
		case sharedb.BulkUnsub:
			err = s.unsubscribe(r.Collection, k.Document)
		case sharedb.BulkSubscribe:
			part, err = s.subscribe(r.Collection, k.Document, k.Version, g)
		default:
			part, err = s.bulkFetch(r.Collection, k, g)
		}
		if err != nil && (r.Versions || r.Action == sharedb.BulkUnsub || r.Keeps() && retryable(err)) {
			return err
		}
		if err != nil {
			code, message := shareCode(err)
			part = sharedb.AppendError(nil, []byte("{}"), code, message)
		}
		if part != nil {
			if len(data) > 1 {
				data = append(data, ',')
			}
			data = append(append(text.AppendString(data, k.Document), ':'), part...)
		}
	}
	b := encode.Members(nil, "data", append(data, '}'))
	if r.Versions || r.Action == sharedb.BulkUnsub { // nothing but operations was asked for
		b = encode.Members(nil, "b", r.Names)
	}
	g.answer = append(sharedb.AppendNames(b, r.Action, r.Collection, ""), '}')
	g.stored(nil)
	return nil
}

// bulkFetch is the snapshot of one document of a bulk request. With a version it sends what the client has missed
// instead.
func (s *session) bulkFetch(collection string, k sharedb.Known, g *bulkAnswer) (data []byte, err error) {
	err = s.read(collection, k.Document, func(d *document) error {
		if k.Version == nil {
			data = d.appendShare(nil)
		} else {
			out, err := s.shareState(d, "", k.Version, false)
			if err != nil {
				return err
			}
			s.sendStored(d, out)
		}
		g.await(d)
		return nil
	})
	return data, err
}
