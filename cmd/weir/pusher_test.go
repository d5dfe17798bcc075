package main

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"weir/internal/freeport"
	"weir/relay"
	"weir/relay/config"
	"weir/relay/systems/pusher"
)

// TestPusherCheck tries an app, and names the step that fails.
func TestPusherCheck(t *testing.T) {
	ln, adm := loopbackListener(t), loopbackListener(t)
	hook := freeport.Address(t)
	cfg := config.Config{Dev: true, Known: known()}
	config.Of[pusher.Config](&cfg).Apps = []pusher.App{{
		ID: "1", Keys: []pusher.Key{{Key: "dev", Secret: "dev"}},
		Webhooks: []pusher.Webhook{{URL: "http://" + hook, AllowInsecure: true}},
	}}
	srv, err := newServer(cfg.WithDefaults(), quiet())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- srv.(*relay.Relay).ServeOn(ctx, ln, adm) }() // ends with cancel, waited for below
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
	}()
	<-srv.Ready()
	at := "http://" + ln.Addr().String()
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--url", at}, "send and receive  ok"},
		{[]string{"--url", at, "--webhook", hook}, "webhook           ok"},
		{[]string{"--url", at, "--secret", "wrong"}, "subscribe: refused"},
		{[]string{"--url", at, "--key", "wrong"}, "Application does not exist"},
		{[]string{"--url", at, "--app", "7"}, "there is no app with this id"},
		{[]string{"--url", other.URL}, "add pusher to systems"},
	} {
		var out, errs bytes.Buffer
		p := &program{stdout: &out, stderr: &errs, stdin: strings.NewReader("")}
		err := p.execute(append([]string{"pusher", "check"}, c.args...))
		text := out.String()
		if err != nil {
			text += err.Error()
		}
		if !strings.Contains(text, c.want) || strings.Contains(c.want, "ok") != (err == nil) {
			t.Errorf("%v: %s", c.args, text)
		}
	}
}
