package documents

import (
	"net/url"

	"weir/relay"
	"weir/relay/cluster"
	"weir/relay/problem"
	"weir/relay/systems/documents/content"
	"weir/relay/systems/documents/sharedb"
	"weir/relay/systems/internal/encode"
)

// forward sends a message about a document to the node that owns it, if that is another one: there is a way for each document, over which
// what the owner sends comes to the client. A way ends with the client.
func (s *session) forward(id string, data []byte) (forwarded bool, err error) {
	s.mu.Lock()
	w, full := s.ways[id], len(s.ways)+len(s.follows) >= s.host.Config().Limit.Subscriptions
	s.mu.Unlock()
	if w == nil {
		key := content.Channel(id)
		switch {
		case !s.host.Elsewhere(key) || s.client.Remote():
			return false, nil
		case full:
			return false, errFollow
		}
		if w, err = s.client.Forward(key, "src="+url.QueryEscape(s.src)); err != nil {
			if problem.Of(err).Retryable { // an error would have the client give up
				err = cluster.ErrNoOwner
			}
			return false, err
		}
		s.mu.Lock()
		if s.ways == nil {
			s.ways = make(map[string]*relay.Forwarded)
		}
		s.ways[id] = w
		s.mu.Unlock()
	}
	w.Send(data, false)
	return true, nil
}

// forwardBulk sends what a bulk request says of documents that other nodes own to these, one by one. Clients take an answer for each. The request is then
// about the rest; none is left if all were sent.
func (s *session) forwardBulk(r *sharedb.Request) (left bool, err error) {
	rest := r.Bulk[:0:0]
	for i, k := range r.Bulk {
		forwarded := false
		if id, bad := shareID(r.Collection, k.Document); bad == nil {
			names := sharedb.AppendBulk(nil, r.Bulk[i:i+1], r.Versions)
			b := encode.Members(sharedb.AppendNames([]byte{'{'}, r.Action, r.Collection, ""), "b", names)
			if forwarded, err = s.forward(id, append(b, '}')); err != nil {
				return false, err
			}
		}
		if !forwarded {
			rest = append(rest, k)
		}
	}
	left = len(rest) > 0 || len(r.Bulk) == 0
	if len(rest) < len(r.Bulk) {
		r.Bulk, r.Names = rest, sharedb.AppendBulk(nil, rest, r.Versions)
	}
	return left, nil
}
