package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"weir/internal/contain"
	"weir/relay/config"
)

const testSecret = "0123456789abcdef0123456789abcdef"

// fakeServer is a relay whose moments the test chooses. Channels hand over; nothing is polled.
type fakeServer struct {
	// Set once by start.
	ready  chan struct{}
	fail   chan error    // ends Serve at once
	drain  chan struct{} // closed: the drain is over
	reload error

	mu       sync.Mutex
	reloaded []config.Config // guarded by mu
}

func (f *fakeServer) Serve(ctx context.Context) error {
	select {
	case err := <-f.fail:
		return err
	case <-ctx.Done():
		<-f.drain
		return nil
	}
}

func (f *fakeServer) Reload(cfg config.Config) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reloaded = append(f.reloaded, cfg)
	return f.reload
}

func (f *fakeServer) reloads() []config.Config {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.reloaded
}

func (f *fakeServer) Ready() <-chan struct{} { return f.ready }

func (f *fakeServer) Addrs() (public, admin net.Addr) {
	return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 7000}, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 7001}
}

// session is one run of weir serve. Its buffers are read only while the program is blocked.
type session struct {
	*fakeServer
	signals        chan os.Signal
	stdout, stderr bytes.Buffer
	code           chan int
}

// start runs weir serve in the background; it must be called inside a synctest bubble.
func start(env []string, args ...string) *session {
	s := &session{
		fakeServer: &fakeServer{ready: make(chan struct{}), fail: make(chan error), drain: make(chan struct{})},
		signals:    make(chan os.Signal), code: make(chan int, 1),
	}
	p := &program{
		env: env, stdin: strings.NewReader(""), stdout: &s.stdout, stderr: &s.stderr,
		signals: func() (<-chan os.Signal, func()) { return s.signals, func() {} },
		open:    func(config.Config, *slog.Logger) (server, error) { return s.fakeServer, nil },
	}
	go func() { s.code <- p.run(append([]string{"serve"}, args...)) }() // ends with the server; the test reads code
	synctest.Wait()
	return s
}

func (s *session) send(sig os.Signal) {
	s.signals <- sig
	synctest.Wait()
}

// running reports whether the program goes on.
func (s *session) running() bool { return len(s.code) == 0 }

func TestServeDrains(t *testing.T) {
	for _, sig := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		synctest.Test(t, func(t *testing.T) {
			s := start(nil, "--dev")
			if s.stdout.Len() > 0 {
				t.Error("announced before it was ready")
			}
			close(s.ready)
			synctest.Wait()
			for _, want := range []string{"\n  http://127.0.0.1:7000/\n", "\n  ws://127.0.0.1:7000/ws\n", "curl -H 'Authorization: Bearer dev' -d '{", "http://127.0.0.1:7000/v1/publish\n", "\neyJ"} {
				if !strings.Contains(s.stdout.String(), want) {
					t.Errorf("want %q in %s", want, s.stdout.String())
				}
			}
			s.send(sig)
			if !s.running() {
				t.Error("did not wait for the drain")
			}
			s.send(syscall.SIGHUP) // too late to matter
			close(s.drain)
			if code := <-s.code; code != exitOK || len(s.reloads()) > 0 {
				t.Errorf("exit %d, %d reloads: %s", code, len(s.reloads()), s.stderr.String())
			}
			if strings.Contains(s.stderr.String(), "eyJ") || !strings.Contains(s.stderr.String(), `"msg":"stopped"`) {
				t.Errorf("log: %s", s.stderr.String())
			}
		})
	}
}

func TestSecondSignalLeavesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(nil, "--dev")
		s.send(syscall.SIGTERM)
		s.send(syscall.SIGTERM) // of the process group: not a second one
		time.Sleep(doubled)     // of the bubble's time
		s.send(os.Interrupt)
		if code := <-s.code; code != exitFailure || !strings.Contains(s.stderr.String(), "weir: serve: a second signal") {
			t.Errorf("exit %d: %s", code, s.stderr.String())
		}
		close(s.drain)
	})
}

// A shutdown has an end, also if the relay never comes to its own.
func TestShutdownHasAnEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(nil, "--dev")
		s.send(syscall.SIGTERM)
		time.Sleep(shutdownLimit - time.Millisecond)
		synctest.Wait()
		if !s.running() {
			t.Error("did not wait for as long as a shutdown may take")
		}
		if code := <-s.code; code != exitFailure || !strings.Contains(s.stderr.String(), "the shutdown has not ended within 2m0s") {
			t.Errorf("exit %d: %s", code, s.stderr.String())
		}
		close(s.drain)
	})
}

func TestServeFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start([]string{"WEIR_AUTH_SECRET=" + testSecret, "WEIR_API_KEY=" + testSecret})
		s.fail <- errors.New("listen: address already in use")
		if code := <-s.code; code != exitFailure || !strings.Contains(s.stderr.String(), "weir: serve: listen: address already in use\n") {
			t.Errorf("exit %d: %s", code, s.stderr.String())
		}
		if strings.Contains(s.stderr.String(), testSecret) || s.stdout.Len() > 0 {
			t.Errorf("stdout %q, stderr %q", s.stdout.String(), s.stderr.String())
		}
	})
}

func TestOpenFails(t *testing.T) {
	var stderr bytes.Buffer
	p := &program{
		stdout: &stderr, stderr: &stderr,
		signals: func() (<-chan os.Signal, func()) { return nil, func() {} },
		open:    func(config.Config, *slog.Logger) (server, error) { return nil, errors.New("no such luck") },
	}
	if code := p.run([]string{"serve", "--dev"}); code != exitUsage || stderr.String() != "weir: serve: no such luck\n" {
		t.Errorf("exit %d: %s", code, stderr.String())
	}
}

func TestReload(t *testing.T) {
	file := filepath.Join(t.TempDir(), "weir.yaml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	api := "api:\n  keys:\n    - {name: a, secret: " + testSecret + "}\n"
	write(api)
	synctest.Test(t, func(t *testing.T) {
		s := start([]string{"WEIR_AUTH_SECRET=" + testSecret}, "--config", file, "--log-format", "text", "--drain", "3s")
		close(s.ready)
		synctest.Wait()
		if s.stdout.Len() > 0 {
			t.Errorf("a token outside development mode: %s", s.stdout.String())
		}

		write(api + "    - {name: b, secret: " + testSecret + "b}\nlog: {level: error}\n")
		s.send(syscall.SIGHUP)
		got := s.reloads()
		if len(got) != 1 || len(got[0].API.Keys) != 2 || got[0].Drain.String() != "3s" {
			t.Fatalf("reloaded %+v: %s", got, s.stderr.String())
		}
		if log := s.stderr.String(); strings.Contains(log, "configuration reloaded") || strings.Contains(log, "restart") {
			t.Errorf("the log level stayed: %s", log)
		}

		// With a mistake the server keeps what it has, and the log names every problem.
		write("listn: x\nshards: many\n")
		s.send(syscall.SIGHUP)
		log := s.stderr.String()
		if len(s.reloads()) != 1 || !s.running() || !strings.Contains(log, file+":1: listn: unknown key") || !strings.Contains(log, file+":2: shards: ") {
			t.Errorf("%d reloads: %s", len(s.reloads()), log)
		}

		write(api + "limits: {queue: 2MiB}\nlog: {level: info}\n")
		s.send(syscall.SIGHUP)
		if log := s.stderr.String(); len(s.reloads()) != 2 || !strings.Contains(log, `msg="some changes need a restart" keys=limits.queue`) {
			t.Errorf("log: %s", log)
		}

		s.reload = errors.New("not today")
		write(api)
		s.send(syscall.SIGHUP)
		if !s.running() || !strings.Contains(s.stderr.String(), "not today") {
			t.Errorf("log: %s", s.stderr.String())
		}
		close(s.drain)
		s.send(syscall.SIGTERM)
		if code := <-s.code; code != exitOK {
			t.Errorf("exit %d: %s", code, s.stderr.String())
		}
	})
}

func TestWelcomeOverTLS(t *testing.T) {
	got, err := welcome(&net.TCPAddr{IP: net.IPv6loopback, Port: 443}, &net.TCPAddr{IP: net.IPv6loopback, Port: 9090}, config.Config{Dev: true, TLS: config.TLS{Cert: "c.pem"}})
	if err != nil || !strings.Contains(got, "curl -k ") || !strings.Contains(got, "https://[::1]:443/v1/publish") || !strings.Contains(got, "wss://[::1]:443/ws") {
		t.Errorf("got %s, %v", got, err)
	}
}

// A panic while the welcome is printed or the configuration is read again costs just that; one that ends serving is an error.
func TestPanicsOfServe(t *testing.T) {
	for _, at := range []string{"announce", "reload", "serve"} {
		synctest.Test(t, func(t *testing.T) {
			contain.Throw(func(where string) {
				if where == at {
					panic("thrown by the test at " + where)
				}
			})
			defer contain.Throw(nil)
			s := start(nil, "--dev")
			if at == "serve" {
				if code := <-s.code; code != exitFailure || !strings.Contains(s.stderr.String(), "internal error") {
					t.Errorf("exit %d: %s", code, s.stderr.String())
				}
				return
			}
			close(s.ready)
			s.send(syscall.SIGHUP)
			if !s.running() || !strings.Contains(s.stderr.String(), `"where":"`+at+`"`) {
				t.Errorf("%s: %s", at, s.stderr.String())
			}
			s.send(syscall.SIGTERM)
			close(s.drain)
			if code := <-s.code; code != exitOK {
				t.Errorf("%s: exit %d: %s", at, code, s.stderr.String())
			}
		})
	}
}
