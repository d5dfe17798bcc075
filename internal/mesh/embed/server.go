//go:build !noembed

package embed

import (
	"crypto/rand"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
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
		NoSigs:     true,
		MaxPayload: 8 << 20,
		MaxPending: 128 << 20,
		JetStream:  true,
		StoreDir:   c.Data,
		SyncAlways: c.Sync,

		CustomClientAuthentication: password(secret), // the server warns of a password among its options, as if it stood in a file
		Cluster:                    server.ClusterOpts{Name: c.Cluster, Host: host, Port: port, ConnectRetries: 1 << 30},
	}
	if err := secure(c, &o.Cluster); err != nil {
		return nil, err
	}
	for _, r := range c.Routes {
		if _, _, err := split(r); err != nil {
			return nil, err
		}
		route := &url.URL{Scheme: "nats-route", Host: r}
		if c.Password != "" {
			route.User = url.UserPassword(user, c.Password)
		}
		o.Routes = append(o.Routes, route)
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
		return nil, errors.New("embedded NATS server: not started: see the log")
	}
	return &embedded{s, secret}, nil
}

// handshakeLimit is how long a route's TLS handshake may take.
const handshakeLimit = 5 * time.Second

// secure has routes ask for what the others have to show.
func secure(c Config, o *server.ClusterOpts) error {
	if c.Password != "" {
		o.Username, o.Password = user, c.Password
	}
	if c.Cert == "" {
		return nil
	}
	certificate, err := tls.LoadX509KeyPair(c.Cert, c.Key)
	if err != nil {
		return fmt.Errorf("certificate of the routes: %w", err)
	}
	pem, err := os.ReadFile(c.CA)
	if err != nil {
		return fmt.Errorf("certificates of the routes: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return fmt.Errorf("certificates of the routes: %q: expected certificates in PEM", c.CA)
	}
	o.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}, RootCAs: pool, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12}
	o.TLSTimeout = handshakeLimit.Seconds()
	return nil
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

// password lets in clients that show it.
type password string

// Check implements server.Authentication.
func (p password) Check(c server.ClientAuthentication) bool {
	return subtle.ConstantTimeCompare([]byte(c.GetOpts().Password), []byte(p)) == 1
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
