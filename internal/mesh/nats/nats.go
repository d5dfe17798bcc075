package nats

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	client "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"weir/internal/mesh"
)

// Config is what is needed to join.
type Config struct {
	Name     string          // of the cluster: the prefix of subjects, and in the name of the bucket
	Servers  []string        // addresses, such as nats://host:4222; several of one cluster of servers
	Options  []client.Option // how to reach a server within the process
	Replicas int             // servers that keep the table, logs and the shelf; 1, 3 or 5
	LogBytes int64           // most that a log may hold when it is made; 0: what the servers have room for
	Log      *slog.Logger

	// Who this process is to servers of their own, and how it knows them: names of files. "": none.
	Credentials string // of a user
	NKey        string // seed of a key pair
	Cert, Key   string // certificate that is shown, and its key
	CA          string // what the servers' certificates are signed with; "": what the system trusts
}

// secured are the options that say so.
func (c *Config) secured() (options []client.Option, err error) {
	if c.Credentials != "" {
		options = append(options, client.UserCredentials(c.Credentials))
	}
	if c.NKey != "" {
		option, err := client.NkeyOptionFromSeed(c.NKey)
		if err != nil {
			return nil, fmt.Errorf("key pair in %s: %w", c.NKey, err)
		}
		options = append(options, option)
	}
	if c.Cert != "" {
		options = append(options, client.ClientCert(c.Cert, c.Key))
	}
	if c.CA != "" {
		options = append(options, client.RootCAs(c.CA))
	}
	return options, nil
}

// Opener joins by a Config. It implements mesh.Opener.
type Opener struct{ Config Config }

const (
	pendingFrames = 1 << 20  // waiting for the handler
	pendingBytes  = 64 << 20 // of these; beyond, frames are lost
	patience      = 2 * time.Second
	pause         = 250 * time.Millisecond // between attempts
	checkEvery    = 500 * time.Millisecond // whether rows were written that were not told
)

// node is this process's place. It implements mesh.Node.
type node struct {
	// Set once.
	config  Config
	handler mesh.Handler
	conn    *client.Conn
	js      jetstream.JetStream
	shelf   shelf
	stop    context.CancelFunc // ends the goroutine of the table
	table   chan struct{}      // closed when it has ended
	behind  chan struct{}      // has room for one: a row was written that may not have been told

	// Guarded by mu.
	mu     sync.Mutex
	bucket jetstream.KeyValue // nil until the servers have made it
	logs   map[int]*log
}

// Open implements mesh.Opener.
func (o Opener) Open(session string, h mesh.Handler) (mesh.Node, error) {
	n := &node{config: o.Config, handler: h, table: make(chan struct{}), behind: make(chan struct{}, 1), logs: make(map[int]*log)}
	secured, err := o.Config.secured()
	if err != nil {
		return nil, err
	}
	options := append([]client.Option{
		client.Name("weir " + session),
		client.MaxReconnects(-1),
		client.ReconnectWait(pause),
		client.ReconnectJitter(pause, pause),
		client.RetryOnFailedConnect(true),
		client.ReconnectBufSize(-1), // what is sent later would be of no use, and a row written later a surprise
		client.Timeout(patience),
		client.PingInterval(2 * time.Second),
		client.MaxPingsOutstanding(2),
		client.DisconnectErrHandler(func(_ *client.Conn, err error) {
			if err != nil {
				o.Config.Log.Warn("the NATS server cannot be reached; trying again", slog.String("error", err.Error()))
			}
		}),
		client.ReconnectHandler(func(c *client.Conn) {
			o.Config.Log.Info("connected to a NATS server again", slog.String("url", c.ConnectedUrlRedacted()))
		}),
		client.ErrorHandler(func(_ *client.Conn, _ *client.Subscription, err error) {
			o.Config.Log.Warn("the NATS client reports an error", slog.String("error", err.Error()))
		}),
	}, append(secured, o.Config.Options...)...)
	if n.conn, err = client.Connect(strings.Join(o.Config.Servers, ","), options...); err != nil {
		return nil, fmt.Errorf("connect to NATS: %w", err)
	}
	if err := n.subscribe(session); err != nil {
		n.conn.Close()
		return nil, err
	}
	n.shelf = newShelf(n)
	if n.js, err = jetstream.New(n.conn, jetstream.WithDefaultTimeout(patience)); err != nil {
		n.conn.Close()
		return nil, fmt.Errorf("use JetStream: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	n.stop = stop
	go func() { // ended by Close, which waits for it
		defer close(n.table)
		n.keepTable(ctx)
	}()
	return n, nil
}

func (n *node) subject(to string) string { return "weir." + n.config.Name + ".n." + to }

func (n *node) subscribe(session string) error {
	for subject, f := range map[string]func([]byte){
		n.subject(session):                 n.handler.Frame,
		"weir." + n.config.Name + ".hello": n.handler.Announced,
	} {
		s, err := n.conn.Subscribe(subject, func(m *client.Msg) { f(m.Data) })
		if err == nil {
			err = s.SetPendingLimits(pendingFrames, pendingBytes)
		}
		if err != nil {
			return fmt.Errorf("subscribe to %s: %w", subject, err)
		}
	}
	return nil
}

// Send implements mesh.Node.
func (n *node) Send(to string, frame []byte) error { return n.publish(n.subject(to), frame) }

// Announce implements mesh.Node.
func (n *node) Announce(frame []byte) error { return n.publish("weir."+n.config.Name+".hello", frame) }

func (n *node) publish(subject string, frame []byte) error {
	if !n.conn.IsConnected() {
		return mesh.ErrAway
	}
	if err := n.conn.Publish(subject, frame); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

// Close implements mesh.Node.
func (n *node) Close() error {
	n.stop()
	<-n.table
	n.conn.Close()
	return nil
}
