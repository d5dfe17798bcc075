package hooks

import (
	"net/http"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"weir/broker"
	"weir/relay"
	"weir/relay/config"
	"weir/relay/jsonbody"
	"weir/relay/problem"
)

// Namespace has the revocations: items of the channel "hooks:revoked", on disk if there is a data directory.
const Namespace = "hooks"

const revokedChannel = Namespace + ":revoked"

// revocations are whom access was taken away from, and when, for as long as something from before could still hold. In a cluster all nodes
// are told, and each keeps what it was told.
type revocations struct {
	host relay.Host
	life time.Duration
	told *recent[string, int64] // microseconds since 1970, by key; nil if there are no other nodes
}

func newRevocations(host relay.Host, life time.Duration) (*revocations, error) {
	r := &revocations{host: host, life: life + skew}
	err := host.Reserve(Namespace, config.Namespace{Presence: new(bool), Limit: config.Bounds{Items: 1 << 20}, Durable: true})
	switch {
	case err != nil:
	case host.Alone():
		err = host.Broker().Load(revokedChannel)
	default:
		r.told = &recent[string, int64]{life: r.life}
	}
	return r, err
}

// add notes that access is taken away.
func (r *revocations) add(key string, now time.Time) error {
	if r.told != nil {
		r.told.raise(key, now.UnixMicro(), r.host.Now(), func(a, b int64) bool { return a > b })
		return nil
	}
	_, err := r.host.Publish(revokedChannel, &broker.Publication{Op: broker.Set, Key: key, Data: strconv.AppendInt(nil, now.UnixMicro(), 10), TTL: r.life})
	return err
}

// since reports whether access was taken away after a time.
func (r *revocations) since(key string, at time.Time) bool {
	if r.told != nil {
		when, ok := r.told.get(key)
		return ok && when >= at.UnixMicro()
	}
	data, _, ok := r.host.Broker().Item(revokedChannel, "", key)
	if !ok {
		return false
	}
	when, err := strconv.ParseInt(string(data), 10, 64)
	return err != nil || when >= at.UnixMicro()
}

// handleRevoke is POST /v1/revoke: what is remembered of a user is dropped, and about each of their connections that is vouched
// for the backend is asked at once. Those that it refuses are closed.
func (s *System) handleRevoke(ctx *fasthttp.RequestCtx) error {
	var want struct {
		UserID string `json:"userId"`
	}
	if err := jsonbody.Read(ctx, &want); err != nil {
		return err
	}
	if want.UserID == "" {
		return problem.BadField.With("userId is missing")
	}
	if s.nodes != nil {
		return s.nodes.revoke(ctx, want.UserID)
	}
	asked, err := s.revoke(want.UserID, s.now())
	if err != nil {
		return err
	}
	return jsonbody.Write(ctx, http.StatusOK, map[string]int{"asked": asked})
}

// revoke drops what is remembered of a user, and has the backend asked about those of their connections that it vouches for here. It returns how
// many these are.
func (s *System) revoke(user string, now time.Time) (asked int, err error) {
	if err := s.dismissAt(user, "", now); err != nil {
		return 0, err
	}
	connections := s.host.VouchedFor(user)
	for connection, id := range connections {
		s.Refresh(connection, id)
	}
	s.host.Reconsider(user)
	return len(connections), nil
}
