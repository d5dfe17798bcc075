package loadtest_test

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/loadtest"
	"weir/loadtest/report"
	"weir/loadtest/scenario"
	"weir/loadtest/target"
)

// listen serves a fake server on a port of this machine.
func listen(t *testing.T, cfg fakeConfig) (srv *fakeRelay, address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv = newFakeRelay(cfg)
	done := make(chan struct{})
	go func() {
		defer close(done)
		srv.Serve(l)
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
		srv.Close()
	})
	return srv, l.Addr().String()
}

// On real sockets nothing may depend on how fast the machine is: only counts are looked at.
func TestOverRealSockets(t *testing.T) {
	brief := func(s scenario.Scenario) scenario.Scenario {
		s.Warmup, s.Duration, s.Drain = -1, 500*time.Millisecond, 30*time.Second
		return s
	}
	fanout := brief(scenario.Scenario{Channels: 2, Subscribers: 40, Rate: 200, Checked: 4, Payload: 4000, Batch: 10})
	single := fanout
	single.Batch, single.Payload = 1, 128
	herd := scenario.Scenario{
		Channels: 2, Subscribers: 40, Checked: scenario.All, Warmup: -1, Drain: 30 * time.Second, Presence: true,
		Stages: []scenario.Stage{{Duration: 300 * time.Millisecond, Rate: 100}, {Duration: 300 * time.Millisecond, Rate: 100, Herd: true}},
	}
	tests := []struct {
		name   string
		s      scenario.Scenario
		target target.Options // its URL is a path
		server fakeConfig
		want   uint64
	}{
		{"weir batches", fanout, target.Options{Name: "weir"}, fakeConfig{Window: 30 * time.Millisecond, Key: "dev"}, 100 * 20},
		{"weir at once", single, target.Options{Name: "weir"}, fakeConfig{}, 100 * 20},
		{"herd", herd, target.Options{Name: "weir"}, fakeConfig{Window: 10 * time.Millisecond}, 60 * 20},
		{"plain sockets", single, target.Options{Name: "ws", URL: "/plain/{channel}"}, fakeConfig{}, 100 * 20},
		{"event streams", single, target.Options{Name: "sse", URL: "/events/{channel}"}, fakeConfig{}, 100 * 20},
		{"connect", brief(scenario.Scenario{Measure: scenario.Connect, Channels: 3, Rate: 200}), target.Options{Name: "weir"}, fakeConfig{}, 100},
		{"ingress", brief(scenario.Scenario{Measure: scenario.Publish, Rate: 400, Batch: 4}), target.Options{Name: "weir"}, fakeConfig{}, 200},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, address := listen(t, tt.server)
			tt.target.URL = "http://" + address + tt.target.URL
			rec, err := loadtest.Run(context.Background(), loadtest.Config{Scenario: tt.s, Target: tt.target, FindPID: true})
			if err != nil {
				t.Fatal(err)
			}
			res := report.New(rec)
			if res.Expected != tt.want || res.Received != tt.want || res.Lost+res.Duplicated+res.Reordered+res.Corrupted+res.Unsent != 0 {
				t.Errorf("expected %d (want %d), received %d, lost %d, duplicated %d, unsent %d, %q, %s", res.Expected, tt.want, res.Received,
					res.Lost, res.Duplicated, res.Unsent, res.Troubles, res.Connections.Accounting)
			}
			if c := res.Connections; c.Checked+c.Alike+c.Similar != tt.s.Subscribers {
				t.Errorf("%+v", c)
			}
			if tt.name == "herd" && res.Herd.Resumed != 40 {
				t.Errorf("%+v", res.Herd)
			}
		})
	}
}

// Subscribers come to the server in their order, whichever loop they are on: else those that are checked, which have a loop
// of their own, would be among the first to come, and the first to get each message.
func TestSubscribersComeInTheirOrder(t *testing.T) {
	quiet := scenario.Scenario{Measure: scenario.Idle, Subscribers: 600, Checked: 60, Warmup: -1, Duration: 10 * time.Millisecond}
	herd := quiet
	herd.Measure, herd.Duration = scenario.Delivery, 0
	herd.Stages = []scenario.Stage{{Duration: 10 * time.Millisecond, Rate: 100}, {Duration: 10 * time.Millisecond, Rate: 100, Herd: true}}
	for name, s := range map[string]scenario.Scenario{"first": quiet, "after a herd": herd} {
		t.Run(name, func(t *testing.T) {
			srv, address := listen(t, fakeConfig{})
			rec, err := loadtest.Run(context.Background(), loadtest.Config{
				Scenario: s, Target: target.Options{Name: "weir", URL: "http://" + address}, Token: func(user string) (string, error) { return user, nil },
			})
			if err != nil {
				t.Fatal(err)
			}
			srv.Close()
			first := slices.Min(slices.Collect(maps.Values(srv.Places)))
			for i := range s.Subscribers {
				if place := srv.Places[fmt.Sprintf("u%d", i)] - first; place < i-80 || place > i+80 { // 64 connect at a time
					t.Errorf("subscriber %d came as number %d", i, place)
				}
			}
			if c := report.New(rec).Connections; c.Checked != 60 || c.Uneven > .1 {
				t.Errorf("%+v", c)
			}
		})
	}
}

func TestBadInputIsExplained(t *testing.T) {
	_, address := listen(t, fakeConfig{Key: "dev", Token: "good-"})
	_, full := listen(t, fakeConfig{Most: 5})
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	good := func(u string) (string, error) { return "good-" + u, nil }
	s := scenario.Scenario{Subscribers: 10, Rate: 10, Duration: time.Second}
	change := func(f func(*scenario.Scenario)) scenario.Scenario { c := s; f(&c); return c }
	tests := []struct {
		name string
		cfg  loadtest.Config
		want string
	}{
		{"nothing listens", loadtest.Config{Scenario: s, Target: target.Options{Name: "weir", URL: "http://127.0.0.1:1"}}, "nothing listens at http://127.0.0.1:1: is the target running?"},
		{"wrong token", loadtest.Config{Scenario: s, Target: target.Options{Name: "weir", URL: "http://" + address}}, "returned status 401: the token or the key is wrong"},
		{"wrong key", loadtest.Config{Scenario: s, Token: good, Target: target.Options{Name: "weir", URL: "http://" + address, Key: "no"}}, "returned status 401: the token or the key is wrong"},
		{"wrong address", loadtest.Config{Scenario: s, Token: good, Target: target.Options{Name: "sse", URL: "http://" + address + "/nothing"}}, "no such address there: is it a sse?"},
		{"full", loadtest.Config{Scenario: s, Target: target.Options{Name: "weir", URL: "http://" + full}}, "refused connection"},
		{"does not answer", loadtest.Config{Scenario: s, Setup: 300 * time.Millisecond, Target: target.Options{Name: "weir", URL: "http://" + silent.Addr().String()}}, "0 of 10 connections got subscribed"},
		{"somebody else's", loadtest.Config{Scenario: s, Target: target.Options{Name: "weir", URL: "http://192.0.2.1"}}, "--i-own-this-target"},
		{"unknown target", loadtest.Config{Scenario: s, Target: target.Options{Name: "kafka"}}, "expected weir, centrifugo"},
		{"bad address", loadtest.Config{Scenario: s, Target: target.Options{Name: "weir", URL: "127.0.0.1:80"}}, "expected http://host:port"},
		{"no batches there", loadtest.Config{Scenario: change(func(s *scenario.Scenario) { s.Batch = 2 }), Target: target.Options{Name: "nchan"}}, "takes 1 messages in one request at most"},
		{"no presence there", loadtest.Config{Scenario: change(func(s *scenario.Scenario) { s.Presence = true }), Target: target.Options{Name: "nchan"}}, "does not report who is in a channel"},
		{"channels that nothing tells apart", loadtest.Config{Scenario: change(func(s *scenario.Scenario) { s.Channels = 3 }), Target: target.Options{Name: "ws"}}, "expected a channel in --url ({channel}), or --channels 1"},
		{"a channel of streams", loadtest.Config{Scenario: change(func(s *scenario.Scenario) { s.Channels = 3 }), Target: target.Options{Name: "sse"}}, "expected a channel in --url ({channel}), or --channels 1"},
		{"two channels of a socket", loadtest.Config{Scenario: change(func(s *scenario.Scenario) { s.Channels, s.Follow = 3, 2 }), Target: target.Options{Name: "ws", URL: "http://127.0.0.1:1/{channel}"}}, "follows one channel on a connection"},
		{"two channels of a path", loadtest.Config{Scenario: change(func(s *scenario.Scenario) { s.Channels, s.Follow = 3, 2 }), Target: target.Options{Name: "nchan"}}, "follows one channel on a connection"},
		{"a channel without a publisher", loadtest.Config{Scenario: change(func(s *scenario.Scenario) { s.Channels = 30 }), Target: target.Options{Name: "ws", URL: "http://127.0.0.1:1/{channel}"}}, "a publisher for each of 30 channels"},
		{"too many descriptors", loadtest.Config{Scenario: change(func(s *scenario.Scenario) { s.Subscribers = 1_000_000; s.Publishers = 4000 }), Target: target.Options{Name: "weir"}}, ""},
		{"no such process", loadtest.Config{Scenario: s, Token: good, PIDs: []int{1 << 30}, Target: target.Options{Name: "weir", URL: "http://" + address}}, "usage of the target: process 1073741824"},
		{"payload", loadtest.Config{Scenario: change(func(s *scenario.Scenario) { s.Payload = 3 })}, "payload: 3B: expected 64B to 1MiB"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.want == "" { // depends on who runs the test: it must not work and not crash
				tt.cfg.Target.URL, tt.want = "http://127.0.0.1:1", "cannot measure"
			}
			_, err := loadtest.Run(context.Background(), tt.cfg)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v\nwant %s", err, tt.want)
			}
		})
	}
}

func TestACancelledRunKeepsWhatItHas(t *testing.T) {
	_, address := listen(t, fakeConfig{})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s := scenario.Scenario{Subscribers: 10, Rate: 100, Duration: time.Hour, Warmup: -1, Checked: scenario.All}
	rec, err := loadtest.Run(ctx, loadtest.Config{
		Scenario: s, Target: target.Options{Name: "weir", URL: "http://" + address},
		Progress: func(p loadtest.Progress) {
			if p.Sent > 10 {
				cancel()
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	res := report.New(rec)
	if res.Valid || res.Lost != 0 || res.Received == 0 || !strings.Contains(strings.Join(res.InvalidBecause, " "), "interrupted") {
		t.Errorf("valid %v, received %d, lost %d: %q", res.Valid, res.Received, res.Lost, res.InvalidBecause)
	}
}
