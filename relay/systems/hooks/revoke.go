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

// Namespace is where revocations are kept: as items of "hooks:revoked", on disk if there is a data directory.
const Namespace = "hooks"

const revokedChannel = Namespace + ":revoked"

// revocations are whom access was taken away from, and when, for as long as something from before could still hold.
type revocations struct {
	host relay.Host
	life time.Duration
}

func newRevocations(host relay.Host, life time.Duration) (*revocations, error) {
	err := host.Reserve(Namespace, config.Namespace{Presence: new(bool), Limit: config.Bounds{Items: 1 << 20}, Durable: true})
	if err == nil {
		err = host.Broker().Load(revokedChannel)
	}
	return &revocations{host, life + time.Minute}, err
}

// add notes that access is taken away.
func (r *revocations) add(key string, now time.Time) error {
	_, err := r.host.Publish(revokedChannel, &broker.Publication{Op: broker.Set, Key: key, Data: strconv.AppendInt(nil, now.UnixMicro(), 10), TTL: r.life})
	return err
}

// since reports whether access was taken away after a time.
func (r *revocations) since(key string, at time.Time) bool {
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
	if err := s.dismiss(want.UserID, ""); err != nil {
		return err
	}
	connections := s.host.VouchedFor(want.UserID)
	for connection, id := range connections {
		s.Refresh(connection, id)
	}
	s.host.Reconsider(want.UserID)
	return jsonbody.Write(ctx, http.StatusOK, map[string]int{"asked": len(connections)})
}
