package nats_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	client "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"weir/internal/mesh"
	"weir/internal/mesh/meshtest"
	"weir/internal/mesh/nats"
)

// patience is how long a test waits for what must happen.
const patience = 30 * time.Second

// until waits for something that others do.
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

// start starts a NATS server with a configuration, and returns its address.
func start(t testing.TB, text string) (*server.Server, string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	o, err := server.ProcessConfigFile(file)
	if err != nil {
		t.Fatal(err)
	}
	o.NoSigs, o.NoLog, o.JetStream = true, true, true
	if o.Host == "" {
		o.Host = "127.0.0.1"
	}
	if o.Port == 0 {
		o.Port = server.RANDOM_PORT
	}
	if o.StoreDir == "" {
		o.StoreDir = t.TempDir()
	}
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(patience) {
		t.Fatal("the server has not started")
	}
	return s, s.Addr().String()
}

// seen is a handler that notes what it is told. It implements mesh.Handler.
type seen struct {
	mu   sync.Mutex
	list []string
}

func (s *seen) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, fmt.Sprintf(format, args...))
}

// Frame implements mesh.Handler.
func (s *seen) Frame(b []byte) { s.note("frame %s", b) }

// Announced implements mesh.Handler.
func (s *seen) Announced(b []byte) { s.note("announced %s", b) }

// Row implements mesh.Handler.
func (s *seen) Row(key string, value []byte, revision uint64) { s.note("row %s=%s", key, value) }

// Loaded implements mesh.Handler.
func (s *seen) Loaded() { s.note("loaded") }

// has reports whether all that is wanted was told, in that order.
func (s *seen) has(want ...string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, text := range s.list {
		if len(want) > 0 && text == want[0] {
			want = want[1:]
		}
	}
	return len(want) == 0
}

// logbook is what was logged.
type logbook struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write implements io.Writer.
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

// join joins as a process, and leaves at the end of the test.
func join(t testing.TB, session string, c nats.Config, log io.Writer) (mesh.Node, *seen) {
	t.Helper()
	if log == nil {
		log = io.Discard
	}
	c.Name, c.Replicas, c.Log = "test", max(c.Replicas, 1), slog.New(slog.NewTextHandler(log, nil))
	h := &seen{}
	n, err := nats.Opener{Config: c}.Open(session, h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	return n, h
}

// write writes a row, as soon as the table is there.
func write(t testing.TB, n mesh.Node, key, value string, revision uint64) uint64 {
	t.Helper()
	var written uint64
	until(t, "the row is written", func() bool {
		r, err := n.Update(context.Background(), key, []byte(value), revision)
		written = r
		return err == nil
	})
	return written
}

// Frames reach who they are for, announcements everybody, and rows are written by whoever knows what is there.
func TestMesh(t *testing.T) {
	_, address := start(t, "")
	c := nats.Config{Servers: []string{"nats://" + address}}
	a, ha := join(t, "a", c, nil)
	b, hb := join(t, "b", c, nil)
	until(t, "both have read the table", func() bool { return ha.has("loaded") && hb.has("loaded") })
	until(t, "a frame arrives", func() bool { return a.Send("b", []byte("1")) == nil && hb.has("frame 1") })
	until(t, "an announcement arrives", func() bool {
		return b.Announce([]byte("2")) == nil && ha.has("announced 2") && hb.has("announced 2")
	})
	if ha.has("frame 1") {
		t.Error("a frame has come to who has sent it")
	}
	first := write(t, a, "p.1", "x", 0)
	until(t, "both are told", func() bool { return ha.has("row p.1=x") && hb.has("row p.1=x") }) // of a row that is written again at once only the last may be told
	if _, err := b.Update(t.Context(), "p.1", []byte("y"), 0); !errors.Is(err, mesh.ErrConflict) {
		t.Errorf("a row that is there was made anew: %v", err)
	}
	second := write(t, b, "p.1", "y", first)
	if _, err := a.Update(t.Context(), "p.1", []byte("z"), first); !errors.Is(err, mesh.ErrConflict) || second <= first {
		t.Errorf("a row was written over another one's: %v, %d after %d", err, second, first)
	}
	until(t, "both are told", func() bool { return ha.has("row p.1=x", "row p.1=y") && hb.has("row p.1=x", "row p.1=y") })
	_, hc := join(t, "c", c, nil)
	until(t, "who comes later is told what there is", func() bool { return hc.has("row p.1=y", "loaded") })
	var won, lost int
	var mu sync.Mutex
	var racing sync.WaitGroup
	for _, n := range []mesh.Node{a, b, a, b} {
		racing.Go(func() {
			_, err := n.Update(context.Background(), "p.1", []byte("race"), second)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won++
			} else if errors.Is(err, mesh.ErrConflict) {
				lost++
			}
		})
	}
	racing.Wait()
	if won != 1 || lost != 3 {
		t.Errorf("of four writers of one revision %d have won and %d lost", won, lost)
	}
}

// While the server is gone nothing is sent and nothing written, and all is well again when it is back, with what was written before.
func TestServerGone(t *testing.T) {
	dir := t.TempDir()
	s, address := start(t, fmt.Sprintf("jetstream {store_dir: %q, sync_interval: always}", dir))
	n, h := join(t, "a", nats.Config{Servers: []string{"nats://" + address}}, nil)
	revision := write(t, n, "p.1", "x", 0)
	s.Shutdown()
	s.WaitForShutdown()
	until(t, "nothing is sent", func() bool { return errors.Is(n.Send("a", []byte("lost")), mesh.ErrAway) })
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := n.Update(ctx, "p.1", []byte("y"), revision); err == nil || errors.Is(err, mesh.ErrConflict) {
		t.Errorf("written without a server: %v", err)
	}
	_, port, _ := strings.Cut(address, ":")
	start(t, fmt.Sprintf("port: %s\njetstream {store_dir: %q}", port, dir))
	until(t, "a frame arrives", func() bool { return n.Send("a", []byte("2")) == nil && h.has("frame 2") })
	if h.has("frame lost") {
		t.Error("what was sent while it was gone has come")
	}
	write(t, n, "p.1", "y", revision)
	until(t, "it is told", func() bool { return h.has("row p.1=y") })
}

// What a watch on a server does not tell any more, since that server is gone, is asked of the leader of the rows.
func TestWatchGone(t *testing.T) {
	_, address := start(t, "")
	conn, err := client.Connect("nats://" + address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	table, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "KV_weir_test_owners", Subjects: []string{"$KV.weir_test_owners.>"}, MaxMsgsPerSubject: 1,
		MaxConsumers: 2, AllowRollup: true, AllowDirect: true, DenyDelete: true, Discard: jetstream.DiscardNew})
	if err != nil {
		t.Fatal(err)
	}
	c := nats.Config{Servers: []string{"nats://" + address}}
	a, ha := join(t, "a", c, nil)
	b, hb := join(t, "b", c, nil)
	until(t, "both have read the table", func() bool { return ha.has("loaded") && hb.has("loaded") })
	for name := range table.ConsumerNames(t.Context()).Name() { // another one is in the place of each watch: none can be made anew
		if err := table.DeleteConsumer(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		if _, err := table.CreateConsumer(t.Context(), jetstream.ConsumerConfig{Durable: "instead-of-" + name}); err != nil {
			t.Fatal(err)
		}
	}
	first := write(t, a, "p.1", "x", 0)
	until(t, "both are told", func() bool { return ha.has("row p.1=x") && hb.has("row p.1=x") })
	second := write(t, b, "p.1", "y", first)
	if _, err := a.Update(t.Context(), "p.1", []byte("z"), first); !errors.Is(err, mesh.ErrConflict) || second <= first {
		t.Errorf("a row was written over another one's: %v, %d after %d", err, second, first)
	}
	until(t, "who is behind is told", func() bool { return ha.has("row p.1=x", "row p.1=y") && hb.has("row p.1=x", "row p.1=y") })
	if ha.has("row p.1=x", "row p.1=x") || hb.has("row p.1=y", "row p.1=y") {
		t.Error("a row was told twice")
	}
}

// Who may join is who shows what the server wants: credentials, a key pair, a certificate.
func TestWhoMayJoin(t *testing.T) {
	authority := meshtest.New(t)
	cert, key := authority.Issue(t, "node")
	_, strangers := meshtest.New(t).Issue(t, "stranger")
	stranger := strings.TrimSuffix(strangers, ".key") + ".crt"
	operator, err := os.ReadFile("testdata/operator.conf")
	if err != nil {
		t.Fatal(err)
	}
	secure := fmt.Sprintf("tls {cert_file: %q, key_file: %q, ca_file: %q, verify: true}", cert, key, authority.File)
	for _, x := range []struct {
		name, server, scheme string
		good                 nats.Config
		bad                  []nats.Config
	}{
		{"credentials", string(operator), "nats", nats.Config{Credentials: "testdata/user.creds"}, []nats.Config{{}, {NKey: "testdata/user.nk"}}},
		{"key pair", "authorization {users: [{nkey: UDRE7T4DGOZHIWXN5WZV2RLCWS2DR4EVSAKQLKXMVQYOV7ZFDMOGGWBS}]}", "nats",
			nats.Config{NKey: "testdata/user.nk"}, []nats.Config{{}, {Credentials: "testdata/user.creds"}}},
		{"certificate", secure, "tls", nats.Config{Cert: cert, Key: key, CA: authority.File},
			[]nats.Config{{CA: authority.File}, {Cert: stranger, Key: strangers, CA: authority.File}, {Cert: cert, Key: key}}},
	} {
		t.Run(x.name, func(t *testing.T) {
			_, address := start(t, x.server)
			servers := []string{x.scheme + "://" + address}
			x.good.Servers = servers
			n, h := join(t, "a", x.good, nil)
			until(t, "it has joined", func() bool { return h.has("loaded") && n.Send("a", []byte("1")) == nil && h.has("frame 1") })
			for _, c := range x.bad {
				c.Servers = servers
				log := &logbook{}
				other, heard := join(t, "b", c, log)
				until(t, "it says that it has not joined", func() bool { return strings.Contains(log.String(), "trying again") })
				if _, err := other.Update(t.Context(), "p.1", []byte("x"), 0); err == nil || heard.has("loaded") || other.Send("a", nil) == nil {
					t.Errorf("%+v was let in: %v", c, err)
				}
			}
		})
	}
	if _, err := (nats.Opener{Config: nats.Config{Servers: []string{"nats://127.0.0.1:1"}, NKey: "testdata/none.nk", Log: slog.New(slog.DiscardHandler)}}).Open("a", &seen{}); err == nil {
		t.Error("joined with a key pair that there is not")
	}
}
