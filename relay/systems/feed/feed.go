package feed

import (
	"net/http"
	"time"

	"github.com/VictoriaMetrics/metrics"
	"github.com/valyala/fasthttp"

	"weir/internal/wire"
	"weir/relay"
	"weir/relay/auth"
	"weir/relay/config"
	"weir/relay/problem"
)

// Namespace holds the items of each user: "feed:{user}".
const Namespace = "feed"

// kept is how long items can be resumed from. A page that has been away for longer loads what it shows from its
// backend all the same.
const kept = time.Hour

// System streams items to users. Make it with New.
type System struct {
	// Set once by Start.
	host  relay.Host
	limit int // bytes of an item's data
	taken *metrics.Counter
}

// New makes the system.
func New() *System { return new(System) }

func (s *System) Name() string { return Name }

func (s *System) Start(host relay.Host) error {
	s.host = host
	err := host.Reserve(Namespace, config.Namespace{
		History: config.History{TTL: kept}, Durable: true, Presence: new(bool), Once: true,
	})
	if err != nil {
		return err
	}
	s.limit = int(host.Config().Limit.Message)
	if ns, ok := host.Config().Namespaces[Namespace]; ok {
		s.limit = int(ns.Limit.Message)
	}
	host.EventStream("/feed/live", Namespace, relay.EventStream{
		Admit: func(_ *fasthttp.RequestCtx, id *auth.Identity) (string, error) {
			channel, ok := channelOf(id.User)
			if !ok {
				return "", problem.New(http.StatusForbidden, "forbidden", "the user id is too long for a feed", false)
			}
			return channel, nil
		},
		Hello: appendHello,
		Event: appendItem,
	})
	s.taken = host.Metrics().NewCounter("weir_feed_items_total")
	host.Backend(http.MethodPost, "/v1/feed", s.handlePostMany)
	host.Backend(http.MethodPost, "/v1/feed/{user}", s.handlePost)
	return nil
}

func (s *System) Close() {}

// channelOf is the channel of a user's items, named by the same rule as the user's own.
func channelOf(user string) (channel string, ok bool) {
	channel = Namespace + wire.UserChannel(user)[len(wire.UserNamespace):]
	return channel, user != "" && wire.ValidChannel(channel)
}

// place returns the key of a channel's node: a feed is where its user is.
func place(channel string) string { return wire.UserNamespace + channel[len(Namespace):] }

// appendHello is the first event of a stream.
func appendHello(dst []byte, id *auth.Identity) []byte {
	dst = append(dst, "event: connected\ndata: {\"userId\":"...)
	dst = wire.AppendString(dst, id.User)
	return append(dst, "}\n"...)
}

// Name is what the configuration calls the system.
const Name = "feed"

// Module is the system as the binary lists it.
func Module() relay.Module {
	return relay.Module{
		System: config.System{
			Name:        Name,
			Distributed: true,
			Namespaces:  []string{Namespace},
			Personal:    []string{Namespace},
			Kept:        []string{Namespace},
			Place:       place,
		},
		New: func() relay.System { return New() },
		Metrics: []relay.Metric{
			{Name: "weir_feed_items_total", Type: relay.Counter, Help: "Items posted to the feeds of users. weir_event_streams counts the streams that follow them."},
		},
	}
}
