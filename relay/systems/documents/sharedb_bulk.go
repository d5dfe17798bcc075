package documents

import (
	"sync/atomic"

	"weir/relay"
	"weir/relay/systems/documents/sharedb"
	"weir/relay/systems/documents/text"
)

// gathering is one answer that tells of several documents: it is sent when what it says of each is safe.
type gathering struct {
	client *relay.Client
	answer []byte // set before the last arrives

	left   atomic.Int32 // documents that are awaited, and whoever gathers
	failed atomic.Bool
}

// await has the answer wait for what was told of a document so far. The caller holds the document's lock. It may be
// called on nil, which awaits nothing.
func (g *gathering) await(d *Document) {
	if g == nil {
		return
	}
	g.left.Add(1)
	d.after(noTicket, g.arrive)
}

func (g *gathering) arrive(err error) {
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

// bulk does for many documents of a collection what is done for one. What is refused for one of them is told for that
// one.
func (s *session) bulk(r *sharedb.Request) error {
	b := append([]byte{'{'}, `"data":{`...)
	empty := len(b)
	g := &gathering{client: s.client}
	g.left.Store(1)
	for _, k := range r.Bulk {
		var data []byte
		var err error
		switch r.Action {
		case sharedb.BulkUnsub:
			err = s.unsubscribe(r.Collection, k.Document)
		case sharedb.BulkSubscribe:
			data, err = s.subscribe(r.Collection, k.Document, k.Version, g)
		default:
			data, err = s.bulkFetch(r.Collection, k, g)
		}
		if err != nil && (r.Versions || r.Action == sharedb.BulkUnsub) {
			return err
		}
		if err != nil {
			code, message := shareCode(err)
			data = sharedb.AppendError(nil, []byte("{}"), code, message)
		}
		if data != nil {
			if len(b) > empty {
				b = append(b, ',')
			}
			b = append(append(text.AppendString(b, k.Document), ':'), data...)
		}
	}
	b = append(b, '}', ',')
	if r.Versions || r.Action == sharedb.BulkUnsub { // nothing but operations was asked for
		b = append(append(append([]byte{'{'}, `"b":`...), r.Names...), ',')
	}
	g.answer = append(sharedb.AppendNames(b, r.Action, r.Collection, ""), '}')
	g.arrive(nil)
	return nil
}

// bulkFetch is the snapshot of one document of a bulk request. With a version it sends what the client has missed
// instead.
func (s *session) bulkFetch(collection string, k sharedb.Known, g *gathering) (data []byte, err error) {
	id, err := s.readable(collection, k.Document)
	if err != nil {
		return nil, err
	}
	return data, s.read(id, func(d *Document) error {
		if k.Version == nil {
			data = d.appendShare(nil)
		} else {
			out, err := s.shareState(d, "", k.Version, false)
			if err != nil {
				return err
			}
			s.tell(d, out)
		}
		g.await(d)
		return nil
	})
}
