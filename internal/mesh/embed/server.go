//go:build !noembed

package embed

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	client "github.com/nats-io/nats.go"
)

// embedded is a server that runs.
type embedded struct {
	server *server.Server
	secret string // of clients
}

// user is the name of the one who may connect.
const user = "weir"

// startLimit is how long the server may take until it takes connections; the others need not be there.
const startLimit = 10 * time.Second

// Start starts a server. It does not wait for the others.
func Start(c Config) (Server, error) {
	host, port, err := split(c.Listen)
	if err != nil {
		return nil, err
	}
	secret := rand.Text()
	o := &server.Options{
		ServerName: c.Node,
		Host:       "127.0.0.1", // the routes are opened when the listener for clients is: it lets nobody in who is not of this process
		Port:       server.RANDOM_PORT,
		Username:   user,
		Password:   secret,
		NoSigs:     true,
		MaxPayload: 8 << 20,
		MaxPending: 128 << 20,
		JetStream:  true,
		StoreDir:   c.Data,
		SyncAlways: c.Sync,
		Cluster:    server.ClusterOpts{Name: c.Cluster, Host: host, Port: port, ConnectRetries: 1 << 30},
	}
	for _, r := range c.Routes {
		if _, _, err := split(r); err != nil {
			return nil, err
		}
		o.Routes = append(o.Routes, &url.URL{Scheme: "nats-route", Host: r})
	}
	s, err := server.NewServer(o)
	if err != nil {
		return nil, fmt.Errorf("embedded NATS server: %w", err)
	}
	s.SetLogger(logger{c.Log.With(slog.String("part", "nats-server"))}, false, false)
	s.Start()
	if !s.ReadyForConnections(startLimit) {
		s.Shutdown()
		s.WaitForShutdown()
		return nil, errors.New("embedded NATS server: it has not started: the log says why")
	}
	return &embedded{s, secret}, nil
}

func split(address string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(address)
	if err == nil {
		port, err = strconv.Atoi(text)
	}
	if err != nil {
		return "", 0, fmt.Errorf("%q is not an address of the form host:port: %w", address, err)
	}
	return host, port, nil
}

// Options implements Server.
func (e *embedded) Options() []client.Option {
	return []client.Option{client.InProcessServer(e.server), client.UserInfo(user, e.secret)}
}

// Stop implements Server.
func (e *embedded) Stop() {
	e.server.Shutdown()
	e.server.WaitForShutdown()
}

// logger writes what the server logs to ours. Its notices are of no interest here.
type logger struct{ log *slog.Logger }

func (l logger) Noticef(format string, v ...any) { l.log.Debug(fmt.Sprintf(format, v...)) }
func (l logger) Warnf(format string, v ...any)   { l.log.Warn(fmt.Sprintf(format, v...)) }
func (l logger) Errorf(format string, v ...any)  { l.log.Error(fmt.Sprintf(format, v...)) }
func (l logger) Fatalf(format string, v ...any)  { l.log.Error(fmt.Sprintf(format, v...)) }
func (l logger) Debugf(string, ...any)           {}
func (l logger) Tracef(string, ...any)           {}
