package admin

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"weir/broker"
	"weir/broker/disk"
	"weir/broker/ledger"
	"weir/relay/cluster"
	"weir/relay/cluster/link"
	"weir/relay/jsonbody"
	"weir/relay/problem"
)

// Durable channels go into a cluster, and out of it, as the lines of an export. Each channel is put in by the node that owns it.

const (
	callImport = "import" // body: a channel and what there is of it; answer: what has become of it

	importBody  = 64 << 20 // of one request, at most
	importing   = 16       // channels at once
	exportPage  = 100      // channels of one answer
	exportBytes = 8 << 20  // after which an answer ends
)

// What becomes of a channel that is to be put in; anything else says why it is not.
const (
	isIn  = "in"
	wasIn = "there" // with all of it, and stays as it is
)

// errDurable is the answer where there are no durable channels.
var errDurable = problem.NotFound.With("this relay is not a node of a cluster with durable channels")

// shareImport lets other nodes have this one put channels in.
func (s *Server) shareImport() {
	s.hub.Answer(callImport, func(body []byte) ([]byte, error) {
		r := link.Reader{Rest: body}
		channel := strings.Clone(r.Text())
		kept := r.Kept()
		if r.Err != nil {
			return nil, r.Err
		}
		outcome, err := s.importOwn(channel, &kept)
		return []byte(outcome), err
	})
}

// importOwn puts a channel in that this node owns.
func (s *Server) importOwn(channel string, kept *broker.Kept) (outcome string, err error) {
	if s.hub.Ledger == nil {
		return "", errDurable
	}
	err = s.hub.Broker.Exclude(channel, func(fresh string) error { return s.hub.Ledger.Import(channel, kept, fresh) })
	switch {
	case err == nil:
		return isIn, nil
	case errors.Is(err, broker.ErrNotLoaded): // it has just moved
		return "", cluster.ErrNoOwner
	case !errors.Is(err, broker.ErrUsed) && !errors.Is(err, ledger.ErrExists):
		return "", err
	}
	if has, e := s.stored(channel); e == nil && has.came(kept.Position) {
		return wasIn, nil
	}
	return channel + " is in use, or has changes of its own: import channels before they are used", nil
}

// imported is what there is of a channel.
type imported broker.Kept

// came reports whether it goes on from a position.
func (k *imported) came(from broker.Position) bool {
	for _, f := range k.Forks {
		if f == broker.Fork(from) {
			return true
		}
	}
	return k.Position == from
}

// stored returns what there is of a durable channel, whichever node owns it.
func (s *Server) stored(channel string) (*imported, error) {
	if err := s.hub.Broker.Load(channel); err != nil {
		return nil, err
	}
	kept, err := s.hub.Broker.Export(channel)
	return (*imported)(&kept), err
}

// importOne puts a channel in, by the node that owns it.
func (s *Server) importOne(channel string, kept *broker.Kept) (outcome string, err error) {
	if !s.hub.Namespaces.Of(channel).Log.Durable {
		return channel + ": its namespace is not durable in this cluster: make it durable, or export other namespaces only (--prefix)", nil
	}
	if !s.hub.Elsewhere(channel) {
		return s.importOwn(channel, kept)
	}
	kept.Read = time.Now()
	var body link.Writer
	body.Text(channel)
	body.Kept(kept)
	answer, err := s.hub.Cluster.Call(context.Background(), channel, callImport, body)
	return string(answer), err
}

// handleImport is POST /cluster/import: the lines of an export, whose channels are put in. Those that are in already are passed over, so that it can be repeated.
func (s *Server) handleImport(ctx *fasthttp.RequestCtx) {
	if s.hub.Ledger == nil {
		s.gate.Refuse(ctx, errDurable)
		return
	}
	var mu sync.Mutex
	var failed error // guarded by mu, like the counts
	var channels, there int
	var running sync.WaitGroup
	room := make(chan struct{}, importing)
	_, err := disk.ReadExport(bytes.NewReader(ctx.PostBody()), func(channel string, kept *broker.Kept) error {
		k := *kept
		room <- struct{}{}
		s.hub.Contain.Go(&running, "import", func() { // ends with the channel; the request waits for it
			defer func() { <-room }()
			outcome, err := s.importOne(channel, &k)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil:
				failed = cmp.Or[error](failed, err)
			case outcome == wasIn:
				there++
			case outcome == isIn:
				channels++
			default:
				failed = problem.BadField.With(outcome)
			}
		}, nil)
		mu.Lock()
		defer mu.Unlock()
		return failed
	})
	running.Wait()
	switch {
	case failed != nil:
		s.gate.Fail(ctx, failed)
	case err != nil:
		s.gate.Refuse(ctx, problem.BadField.With(err.Error()))
	default:
		jsonbody.Answer(ctx, fmt.Appendf(nil, `{"imported":%d,"there":%d}`, channels, there))
	}
}

// handleExport is GET /cluster/export?prefix=&after=: durable channels as the lines of an export, sorted by name: some of them, or none behind the last one.
func (s *Server) handleExport(ctx *fasthttp.RequestCtx) {
	if s.hub.Ledger == nil {
		s.gate.Refuse(ctx, errDurable)
		return
	}
	var out bytes.Buffer
	e := disk.NewExporter(&out, s.sessions.Now())
	args := ctx.QueryArgs()
	prefix, after := string(args.Peek("prefix")), string(args.Peek("after"))
	for more := true; more && e.Channels == 0; {
		list, err := s.api.Channels(prefix, after, exportPage)
		if err != nil {
			s.gate.Fail(ctx, err)
			return
		}
		more = len(list) == exportPage
		for _, info := range list {
			after = info.Name
			if !s.hub.Namespaces.Of(info.Name).Log.Durable || info.Position.Seq == 0 {
				continue
			}
			kept, err := s.stored(info.Name)
			switch {
			case errors.Is(err, broker.ErrNoChannel): // any more
				continue
			case err == nil:
				err = e.Add(info.Name, (*broker.Kept)(kept))
			}
			if err != nil {
				s.gate.Fail(ctx, err)
				return
			}
			if out.Len() > exportBytes {
				break
			}
		}
	}
	if err := e.End(); err != nil {
		s.gate.Fail(ctx, err)
		return
	}
	ctx.Response.Header.Set("Cache-Control", "no-store")
	ctx.SetContentType("application/x-ndjson")
	ctx.SetBody(out.Bytes())
}
