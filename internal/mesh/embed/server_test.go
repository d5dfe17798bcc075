//go:build !noembed

package embed

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	client "github.com/nats-io/nats.go"

	"weir/internal/freeport"
	"weir/internal/mesh"
	"weir/internal/mesh/meshtest"
	"weir/internal/mesh/nats"
)

const patience = 60 * time.Second

func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for begin := time.Now(); !ok(); <-tick.C {
		if time.Since(begin) > patience {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// logbook is what was logged. It implements io.Writer.
type logbook struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logbook) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// heard counts frames. It implements mesh.Handler.
type heard struct {
	mu     sync.Mutex
	frames []string
	loaded bool
}

func (h *heard) Frame(b []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.frames = append(h.frames, string(b))
}
func (h *heard) Announced([]byte)           {}
func (h *heard) Row(string, []byte, uint64) {}
func (h *heard) Loaded() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.loaded = true
}

func (h *heard) has(frame string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.loaded && strings.Contains(strings.Join(h.frames, " "), frame)
}

// member is a server with a process on it.
type member struct {
	node  mesh.Node
	heard *heard
	log   *logbook
}

func begin(t testing.TB, c Config, replicas int) *member {
	t.Helper()
	m := &member{heard: &heard{}, log: &logbook{}}
	c.Cluster, c.Data, c.Log = "test", t.TempDir(), slog.New(slog.NewTextHandler(m.log, nil))
	s, err := Start(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	m.node, err = nats.Opener{Config: nats.Config{Name: "test", Replicas: replicas, Log: c.Log, Options: s.Options()}}.Open(c.Node, m.heard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.node.Close() })
	return m
}

// Three servers are one: frames pass between them, and a table of three replicas is written, in plain text or with certificates and a password. One that
// cannot show what they want is not let in.
func TestServers(t *testing.T) {
	authority := meshtest.New(t)
	cert, key := authority.Issue(t, "server")
	stranger := meshtest.New(t)
	otherCert, otherKey := stranger.Issue(t, "server")
	secret := strings.Repeat("s", 32)
	for _, x := range []struct {
		name string
		good Config
		bad  []Config
	}{
		{"plain", Config{}, nil},
		{"password", Config{Password: secret}, []Config{{}, {Password: "another one"}}},
		{"certificates and a password", Config{Password: secret, Cert: cert, Key: key, CA: authority.File}, []Config{
			{Password: secret},
			{Password: secret, Cert: otherCert, Key: otherKey, CA: authority.File},
			{Cert: cert, Key: key, CA: authority.File},
		}},
	} {
		t.Run(x.name, func(t *testing.T) {
			var routes []string
			for range 3 {
				routes = append(routes, freeport.Address(t))
			}
			var list []*member
			for i, r := range routes {
				c := x.good
				c.Node, c.Listen, c.Routes = fmt.Sprint("node-", i), r, routes
				list = append(list, begin(t, c, 3))
			}
			for i, m := range list {
				to := list[(i+1)%3]
				name := fmt.Sprint("node-", (i+1)%3)
				frame := fmt.Sprint("from-", i)
				until(t, "a frame arrives", func() bool { return m.node.Send(name, []byte(frame)) == nil && to.heard.has(frame) })
			}
			until(t, "a row is written", func() bool {
				_, err := list[0].node.Update(context.Background(), "p.1", []byte("x"), 0)
				return err == nil
			})
			for i, c := range x.bad {
				c.Node, c.Listen, c.Routes = fmt.Sprint("stranger-", i), freeport.Address(t), routes
				before := make([]int, 3)
				for k, good := range list {
					before[k] = len(good.log.String())
				}
				m := begin(t, c, 3)
				until(t, "it is refused", func() bool {
					said := m.log.String()
					for k, good := range list {
						said += good.log.String()[before[k]:]
					}
					for _, why := range []string{"Authorization Violation", "Authentication", "authentication error", "TLS", "tls"} {
						if strings.Contains(said, why) {
							return true
						}
					}
					return false
				})
				if _, err := m.node.Update(t.Context(), "p.2", []byte("x"), 0); err == nil {
					t.Errorf("a stranger has written the table: %+v", c)
				}
				if m.node.Send("node-0", []byte("stranger")) == nil && list[0].heard.has("stranger") {
					t.Errorf("a stranger is heard: %+v", c)
				}
			}
		})
	}
}

// Clients are let in by the password that the process has drawn, and nobody else is. Of that password, which stands in no file, the server does not warn.
func TestClients(t *testing.T) {
	log, listen := &logbook{}, freeport.Address(t)
	s, err := Start(Config{Cluster: "test", Node: "node-0", Listen: listen, Routes: []string{listen}, Data: t.TempDir(), Log: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	address := s.(*embedded).server.ClientURL()
	conn, err := client.Connect("", s.Options()...)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	for _, options := range [][]client.Option{nil, {client.UserInfo(user, "")}, {client.UserInfo(user, "a guess")}, {client.Token(s.(*embedded).secret)}} {
		if conn, err := client.Connect(address, options...); err == nil {
			conn.Close()
			t.Errorf("a stranger was let in: %v", options)
		}
	}
	if said := log.String(); strings.Contains(said, "asswords") {
		t.Error(said)
	}
}

// What cannot work is refused with what is wrong.
func TestRefused(t *testing.T) {
	authority := meshtest.New(t)
	cert, key := authority.Issue(t, "server")
	for _, x := range []struct {
		config Config
		want   string
	}{
		{Config{Listen: "nowhere"}, "host:port"},
		{Config{Listen: "127.0.0.1:0", Routes: []string{"n1"}}, "host:port"},
		{Config{Listen: "127.0.0.1:0", Cert: "none.crt", Key: key, CA: authority.File}, "certificate of the routes"},
		{Config{Listen: "127.0.0.1:0", Cert: cert, Key: key, CA: "none.crt"}, "certificates of the routes"},
		{Config{Listen: "127.0.0.1:0", Cert: cert, Key: key, CA: key}, "expected certificates in PEM"},
	} {
		x.config.Log, x.config.Data = slog.New(slog.DiscardHandler), t.TempDir()
		if s, err := Start(x.config); err == nil || !strings.Contains(err.Error(), x.want) {
			if err == nil {
				s.Stop()
			}
			t.Errorf("%+v: %v, want %q", x.config, err, x.want)
		}
	}
}
