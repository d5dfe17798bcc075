package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"weir/internal/keyfile"
	"weir/internal/safedial"
	"weir/internal/wire"
	"weir/relay"
	"weir/relay/cluster"
	"weir/relay/config"
	"weir/relay/hub"
	"weir/relay/jsonbody"
	"weir/relay/systems/internal/encode"
	"weir/relay/systems/notify/way"
)

// The topics.
const (
	topicSend      = "notification.send"
	topicRead      = "notification.read"
	topicDelivered = "notification.delivered"
	topicFailed    = "notification.failed"
)

// lastChance is how long a shutdown goes on sending pushes that are due.
const lastChance = 2 * time.Second

// System sends notifications to all devices of a user. New creates it.
type System struct {
	clients func(c *config.Config) *clients // replaced by tests

	// Set once by Start.
	host   relay.Host
	config Config
	log    *slog.Logger
	kinds  []string // of devices that can be reached
	vapid  *VAPID   // nil: there is no web push
	queue  *queue
	http   *clients
	cancel context.CancelFunc
	ended  <-chan struct{} // closed by cancel

	ways *way.Ways // nil: there is one node

	resuming sync.WaitGroup
	attempts way.Attempts
	claims   sync.Mutex // held while it is noted whose a device is; nothing is waited for
}

// clients are the HTTP clients: for addresses of users, and for the services of the configuration.
type clients struct {
	user, fcm, apns *http.Client
}

func newClients(c *config.Config) *clients {
	n := config.Of[Config](c)
	of := func(insecure bool) *http.Client { return safedial.For(n.Timeout, insecure, c.DevLocal()) }
	return &clients{of(false), of(n.FCM.AllowInsecure), of(n.APNs.AllowInsecure)}
}

func (x *clients) close() {
	for _, c := range []*http.Client{x.user, x.fcm, x.apns} {
		c.CloseIdleConnections()
	}
}

// New creates the system; the kinds of devices that it reaches are those of the configuration that it is started with.
func New() *System { return &System{clients: newClients} }

func (s *System) Name() string { return Name }

func (s *System) Start(host relay.Host) error {
	s.host, s.config, s.log = host, *config.Of[Config](host.Config()), host.Log()
	if err := s.reserve(); err != nil {
		return err
	}
	s.http = s.clients(host.Config())
	transports, err := s.transports()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel, s.ended = cancel, ctx.Done()
	q := newQueue(ctx, s.config, s.log, host.Contain())
	q.transports, q.forget, q.done = transports, s.forget, s.done
	q.counters = newCounters(host.Metrics(), []string{kindWebPush, kindFCM, kindAPNs, kindWebhook}, q.waiting)
	s.queue = q

	host.On(topicSend, s.send)
	host.OnClient(topicRead, s.read)
	host.Backend(http.MethodPost, "/v1/notify", s.handleNotify)
	s.user(http.MethodPost, "/devices", s.handleRegister)
	s.user(http.MethodGet, "/devices", s.handleDevices)
	s.user(http.MethodDelete, "/devices", s.handleRemoveAll)
	host.User(http.MethodGet, "/devices/vapid", s.handleVAPID)
	s.user(http.MethodDelete, "/devices/{id}", s.handleRemove)
	s.user(http.MethodGet, "/notifications", s.handleInbox)
	s.user(http.MethodPost, "/notifications/read", s.handleReadMany)
	s.user(http.MethodPost, "/notifications/{id}/read", s.handleRead)
	s.user(http.MethodDelete, "/notifications/{id}", s.handleDismiss)
	if !host.Alone() {
		s.ways = way.New(host.Config().Cluster.Partitions, pendingChannel)
		q.begin, q.reached, q.unfinished = s.begin, s.reached, func(d *delivery) { s.ways.Again(s.ways.User(d.user)) }
		s.withOthers()
	}
	host.Contain().Go(&s.resuming, "resumption of notifications", func() { // ended by cancel; Close waits
		select {
		case <-host.Started(): // what is resumed may be told of at once
			if s.ways != nil {
				s.follow(ctx)
			} else {
				s.resume()
			}
		case <-ctx.Done():
		}
	}, nil) // what is not resumed stays for the next start
	return nil
}

// reserve makes the channels of devices and those of users durable, if there is a data directory or a cluster.
func (s *System) reserve() error {
	if err := s.host.Reserve(Namespace, config.Namespace{Presence: new(bool), History: config.History{Size: new(0)}, Limit: config.Bounds{Items: 1 << 20}, Durable: true}); err != nil {
		return err
	}
	own := s.host.Config().Namespaces["default"] // as users' channels are without us
	own.Durable = true
	return s.host.Reserve(wire.UserNamespace, own)
}

// transports creates a transport for each kind of device that is configured.
func (s *System) transports() (map[string]transport, error) {
	if err := s.readVAPID(); err != nil {
		return nil, err
	}
	c := s.config
	list := map[string]transport{kindWebhook: &hook{s.http.user}}
	if s.vapid != nil {
		list[kindWebPush] = &webPush{s.http.user, s.vapid, c.WebPush.Subject, c.TTL}
	}
	if c.FCM.File != "" {
		account, err := read(c.FCM.File, parseServiceAccount)
		if err != nil {
			return nil, fmt.Errorf("notify.fcm.file: %w", err)
		}
		list[kindFCM] = newFCM(s.http.fcm, c.FCM.URL, account, c.TTL)
	}
	if c.APNs.File != "" {
		key, err := read(c.APNs.File, parseAPNsKey)
		if err != nil {
			return nil, fmt.Errorf("notify.apns.file: %w", err)
		}
		list[kindAPNs] = newAPNs(s.http.apns, c.APNs, key, c.TTL)
	}
	s.kinds = slices.Sorted(maps.Keys(list))
	return list, nil
}

// maxKey bounds a file with a key, in bytes.
const maxKey = 64 << 10

// read parses the contents of a file.
func read[T any](file string, parse func(data []byte) (T, error)) (T, error) {
	data, _, err := keyfile.Read(file, maxKey)
	if err != nil {
		var none T
		return none, err
	}
	return parse(data)
}

// readVAPID reads the key for web push. Development mode generates one if there is none.
func (s *System) readVAPID() (err error) {
	w := &s.config.WebPush
	private := w.Secret
	if w.File != "" {
		if private, err = read(w.File, func(data []byte) (string, error) { return strings.TrimSpace(string(data)), nil }); err != nil {
			return fmt.Errorf("notify.webpush.file: %w", err)
		}
	}
	switch {
	case private != "":
		s.vapid, err = parseVAPID(private)
	case s.host.Config().Dev:
		s.vapid, err = NewVAPID()
		if w.Subject == "" {
			w.Subject = "mailto:weir@example.com"
		}
	}
	if err != nil {
		return fmt.Errorf("notify.webpush: %w", err)
	}
	return nil
}

// handleNotify is POST /v1/notify.
func (s *System) handleNotify(ctx *fasthttp.RequestCtx) error {
	var r request
	if err := jsonbody.Read(ctx, &r); err != nil {
		return err
	}
	if r.UserIDs != nil {
		return s.notifyMany(ctx, r)
	}
	if err := s.notify(&r); err != nil {
		return err
	}
	return jsonbody.Write(ctx, http.StatusAccepted, map[string]string{"id": r.ID})
}

// notifyMany sends the same notification to several users, and responds with a result for each.
func (s *System) notifyMany(ctx *fasthttp.RequestCtx, r request) error {
	if r.UserID != "" {
		return bad("either userId or userIds is needed, not both")
	}
	users := r.UserIDs
	if err := hub.CheckMany("userIds", users); err != nil {
		return err
	}
	r.UserIDs, r.UserID = nil, "anybody"
	all := r
	if err := all.check(); err != nil { // what is wrong for all of them is wrong with the request
		return err
	}
	return jsonbody.Write(ctx, http.StatusAccepted, json.RawMessage(s.host.Many("userId", users, func(user string) ([]byte, error) {
		one := r
		one.UserID = user
		if err := s.notify(&one); err != nil {
			return nil, err
		}
		return wire.AppendString([]byte(`"id":`), one.ID), nil
	})))
}

// notify checks and sends a notification; its id is in r then.
func (s *System) notify(r *request) error {
	if err := r.check(); err != nil {
		return err
	}
	return s.host.Emit(&hub.Event{Topic: topicSend, Key: wire.UserChannel(r.UserID), Data: encode.Line(r)}) // comes back as send
}

// send is the topic notification.send. A client notifies its own user only, whatever user it names.
func (s *System) send(e *hub.Event) error {
	var r request
	if err := jsonbody.Decode(e.Data, &r); err != nil {
		return err
	}
	if e.Connection != "" {
		r.UserID = e.User
	}
	if err := r.check(); err != nil {
		return err
	}
	return s.at(wire.UserChannel(r.UserID), callSend, &r, func() error { return s.accept(&r) })
}

// accept sends a notification to a user of this node. Errors: cluster.ErrNotOwner.
func (s *System) accept(r *request) error {
	now := s.host.Now()
	n := r.notification(now)
	d, earlier, err := s.queue.reserve(r.UserID, n, now)
	if err != nil {
		s.queue.counters.refused.Inc()
		return err
	}
	if earlier != nil { // it is on its way, and may not be on disk yet
		<-earlier.kept // for as long as the disk takes
		return earlier.err
	}
	again, err := s.keep(d)
	d.settled(err)
	if again || err != nil {
		s.queue.release(d)
		return err
	}
	s.queue.counters.accepted.Inc()
	s.queue.start(d, s.list(r.UserID))
	return nil
}

// keep puts a notification into the inbox of its user. again: it was sent before, and is there.
func (s *System) keep(d *delivery) (again bool, err error) {
	x := s.inbox(d.user)
	if err := s.host.Broker().Load(x.channel); err != nil { // what a replica has of it may never have been stored
		return false, err
	}
	if x.has(d.n.ID) {
		return true, x.confirm()
	}
	if err = s.storePending(d); err == nil {
		if err = x.put(d.n); err != nil {
			x.withdraw(d.n.ID)
			_ = s.removePending(d) // which is logged
		}
	}
	return false, err
}

// result is the data of notification.delivered and notification.failed.
type result struct {
	UserID      string `json:"userId"`
	ID          string `json:"id"`
	Delivered   int    `json:"delivered"` // devices
	Failed      int    `json:"failed"`
	Pruned      int    `json:"pruned"`           // of the failed: they are gone, and were removed
	Connections int    `json:"connections"`      // of the user, which got it without a push
	Reason      string `json:"reason,omitempty"` // of a failure: no_devices, or all_failed
}

// done emits the result of a notification. It returns false if another node has the user by now, and does that.
func (s *System) done(d *delivery) bool {
	if s.ways != nil {
		err := s.removePending(d)
		if errors.Is(err, cluster.ErrNotOwner) || err != nil && s.stillPending(d) { // what another node goes on with is not told twice
			return false
		}
	}
	r := result{UserID: d.user, ID: d.n.ID, Delivered: d.delivered, Failed: d.devices - d.delivered, Pruned: d.pruned, Connections: s.host.Connections(d.user)}
	topic, counter := topicFailed, s.queue.counters.missed
	switch {
	case d.devices == 0:
		r.Reason = "no_devices"
	case d.delivered == 0:
		r.Reason = "all_failed"
	default:
		topic, counter = topicDelivered, s.queue.counters.reached
	}
	counter.Inc()
	if err := s.host.Emit(&hub.Event{Topic: topic, Key: wire.UserChannel(d.user), Data: encode.Line(&r)}); err != nil {
		s.log.Warn("result of a notification not emitted", slog.String("notification", d.n.ID), slog.String("error", err.Error()))
	}
	if s.ways == nil {
		_ = s.removePending(d) // which is logged
	}
	return true
}

// Close implements relay.System. It goes on sending what is due for up to two seconds. What is not delivered then is resumed
// after a restart, if there is a data directory, or by the next node of the user.
func (s *System) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), lastChance)
	defer cancel()
	s.host.Contain().Do("last chance of notifications", func() { s.queue.finish(ctx) })
	s.cancel()
	s.resuming.Wait()
	if left := s.queue.stop(); left > 0 && !s.keepsPending() {
		s.log.Warn("notifications did not reach all devices before the shutdown", slog.Int("notifications", left))
	}
	s.http.close()
}
