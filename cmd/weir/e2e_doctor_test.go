//go:build e2e

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"weir/internal/freeport"
)

// diagnosis is what weir doctor says of a relay behind a proxy.
func diagnosis(t *testing.T, proxy, token string, flags ...string) (string, error) {
	t.Helper()
	out, err := exec.Command(binary(t), append([]string{"doctor", proxy, "--token", token, "--channel", "room:doctor"}, flags...)...).Output()
	return string(out), err
}

// checks are all, in their order.
var checks = []string{"reach", "clock", "protocol", "keys", "upgrade", "origin", "stream", "token", "resume", "idle"}

// examined is a relay that doctors are sent to: as in production, with an origin of its own pages, and a heartbeat that is soon.
func examined(t *testing.T) *daemon {
	t.Helper()
	path := filepath.Join(t.TempDir(), "weir.yaml")
	text := "heartbeat: 2s\norigins: [https://app.example]\nnamespaces: {room: {subscribe: authenticated, history: {size: 10}}}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startRelay(t, []string{"WEIR_AUTH_SECRET=" + e2eKey, "WEIR_API_KEY=" + e2eKey}, "--config", path)
	cmd := exec.Command(binary(t), "token", "--sub", "ann", "--channel", "room:*:subscribe,history")
	cmd.Env = append(os.Environ(), "WEIR_AUTH_SECRET="+e2eKey)
	token, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	s.token = strings.TrimSpace(string(token))
	return s
}

// TestE2EDoctorWell finds nothing wrong with nginx and Caddy as they are shipped, in clear and over TLS with HTTP/2, and says what the token is good for.
func TestE2EDoctorWell(t *testing.T) {
	t.Parallel()
	s := examined(t)
	relay := strings.TrimPrefix(s.url, "http://")
	cert, key := certificate(t, t.TempDir())
	secure := freeport.Address(t)
	_, port, _ := strings.Cut(secure, ":")
	for name, x := range map[string]struct {
		url     string
		version string
		flags   []string
	}{
		"nginx":          {startNginx(t, relay), "HTTP/1.1, not encrypted", []string{"--origin", "https://app.example"}},
		"caddy":          {startCaddy(t, relay), "HTTP/1.1, not encrypted", []string{"--idle", "5s"}},
		"nginx over TLS": {"https://" + startSecureNginx(t, relay, cert, key), "HTTP/2.0", []string{"--insecure", "--origin", "https://app.example"}},
		"caddy over TLS": {"https://127.0.0.1:" + port, "HTTP/2.0", []string{"--insecure", "--origin", "https://app.example"}},
	} {
		if name == "caddy over TLS" {
			startCaddy(t, relay, "respond /v1/*", "respond /v1/*", "# Caddy before", "https://127.0.0.1:"+port+" {\n\tbind 127.0.0.1\n\ttls "+cert+" "+key+"\n\trespond /v1/* 403\n\treverse_proxy 127.0.0.1:8080 {\n\t\tflush_interval -1\n\t}\n}\n# Caddy before")
		}
		out, err := diagnosis(t, x.url, s.token, append(x.flags, "--json")...)
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		var seen []string
		found := make(map[string]string)
		for line := range strings.Lines(out) {
			var f struct{ Check, State, Found, Advice string }
			if err := json.Unmarshal([]byte(line), &f); err != nil || f.State != "ok" || f.Advice != "" {
				t.Errorf("%s: %v %s", name, err, line)
			}
			seen = append(seen, f.Check)
			found[f.Check] = f.Found
		}
		if strings.Join(seen, " ") != strings.Join(checks, " ") || found["protocol"] != x.version {
			t.Errorf("%s: %v, %q", name, seen, found["protocol"])
		}
		if want := regexp.MustCompile(`^it stands for ann, for (23h59m\d+|24h0m\d+)s; it names room:\* \(subscribe, history\), and it may subscribe to room:doctor$`); !want.MatchString(found["token"]) {
			t.Errorf("%s: %q", name, found["token"])
		}
	}
}

// startSecureNginx is startNginx with TLS and HTTP/2 as well; it returns the address of that.
func startSecureNginx(t *testing.T, relay, cert, key string) string {
	t.Helper()
	secure := freeport.Address(t)
	startNginx(t, relay, "server_name _;", fmt.Sprintf("server_name _; listen %s ssl http2; ssl_certificate %s; ssl_certificate_key %s;", secure, cert, key))
	return secure
}

// TestE2EDoctor finds what is wrong with nginx and Caddy by name, one thing and no other, and says what to change; the exit code is 1.
func TestE2EDoctor(t *testing.T) {
	t.Parallel()
	s, other := examined(t), examined(t)
	relay, second := strings.TrimPrefix(s.url, "http://"), strings.TrimPrefix(other.url, "http://")
	nginx := func(replace ...string) func(*testing.T) string {
		return func(t *testing.T) string { return startNginx(t, relay, replace...) }
	}
	caddy := func(replace ...string) func(*testing.T) string {
		return func(t *testing.T) string { return startCaddy(t, relay, replace...) }
	}
	for name, c := range map[string]struct {
		proxy         func(*testing.T) string
		check, advice string
		token         string
		flags         []string
		beside        string // what fails with it
		sometimes     bool   // it is asked until it happens
	}{
		"nginx drops the upgrade":        {proxy: nginx("proxy_set_header Connection $weir_connection;", ""), check: "upgrade", advice: "proxy_set_header Connection upgrade"},
		"nginx speaks HTTP/1.0":          {proxy: nginx("proxy_http_version 1.1;", "", "proxy_set_header Connection $weir_connection;", ""), check: "upgrade", advice: "proxy_http_version 1.1"},
		"nginx changes Host":             {proxy: nginx("proxy_set_header Host $http_host;", ""), check: "origin", advice: "proxy_set_header Host $http_host"},
		"nginx lets everybody publish":   {proxy: nginx("location /v1/ { return 403; }", "location /v1/ { proxy_pass http://weir; proxy_set_header Host $http_host; proxy_set_header Authorization \"Bearer "+e2eKey+"\"; }"), check: "keys", advice: "adds a key"},
		"nginx has no route for /sse":    {proxy: nginx("location / {", "location /sse { return 404; }\nlocation / {"), check: "stream", advice: "route /sse"},
		"nginx has no route for /ws":     {proxy: nginx("location / {", "location /ws { return 404; }\nlocation / {"), check: "upgrade", advice: "route /ws"},
		"nginx holds events back":        {proxy: nginx("proxy_buffering off; ", "proxy_buffering on; proxy_ignore_headers X-Accel-Buffering; "), check: "stream", advice: "proxy_buffering off"},
		"nginx compresses events":        {proxy: nginx("location / {", "gzip on; gzip_min_length 0; gzip_proxied any; gzip_types text/event-stream;\nlocation / {"), check: "stream", advice: "do not compress"},
		"nginx ends quiet connections":   {proxy: nginx("proxy_read_timeout 75s;", "proxy_read_timeout 1s;"), check: "idle", advice: "proxy_read_timeout"},
		"nginx sends to either":          {proxy: nginx("server 127.0.0.1:8080;", "server 127.0.0.1:8080; server "+second+";"), check: "resume", advice: "the same relay"},
		"nginx is before something else": {proxy: nginx("location / {", "location = /weir.js { return 200 hello; }\nlocation / {"), check: "reach", advice: "not the response of a relay"},

		"Caddy drops the upgrade":      {proxy: caddy("respond /v1/*", "request_header -Upgrade\n\trequest_header -Connection\n\trespond /v1/*"), check: "upgrade", advice: "Caddy"},
		"Caddy changes Host":           {proxy: caddy("flush_interval -1", "flush_interval -1\n\t\theader_up Host backend.internal"), check: "origin", advice: "let the proxy keep Host"},
		"Caddy lets everybody publish": {proxy: caddy("respond /v1/* 403", "request_header /v1/* Authorization \"Bearer "+e2eKey+"\""), check: "keys", advice: "adds a key"},
		"Caddy has no route for /sse":  {proxy: caddy("respond /v1/* 403", "respond /v1/* 403\n\trespond /sse 404"), check: "stream", advice: "route /sse"},
		"Caddy compresses events":      {proxy: caddy("respond /v1/* 403", "respond /v1/* 403\n\tencode {\n\t\tgzip\n\t\tminimum_length 0\n\t\tmatch header Content-Type text/event-stream*\n\t}"), check: "stream", advice: "do not compress", sometimes: true}, // if it gets the first event with the head
		"Caddy ends streams":           {proxy: caddy("flush_interval -1", "flush_interval -1\n\t\ttransport http {\n\t\t\tread_timeout 1s\n\t\t}"), check: "idle", advice: "read_timeout"},
		"Caddy's clock is wrong":       {proxy: caddy("respond /v1/* 403", "header Date \"Mon, 02 Jan 2006 15:04:05 GMT\"\n\trespond /v1/* 403"), check: "clock", advice: "NTP"},
		"Caddy sends to either":        {proxy: caddy("reverse_proxy 127.0.0.1:8080 {", "reverse_proxy 127.0.0.1:8080 "+second+" {\n\t\tlb_policy round_robin"), check: "resume", advice: "the same relay"},

		"TLS ends at the proxy": {proxy: func(t *testing.T) string {
			cert, key := certificate(t, t.TempDir())
			return "https://" + startSecureNginx(t, relay, cert, key)
		}, flags: []string{"--insecure"}, check: "origin", advice: "list https://127.0.0.1:"},
		"the page is not listed":     {proxy: nginx(), flags: []string{"--origin", "https://elsewhere.example"}, check: "origin", advice: "list https://elsewhere.example in origins"},
		"the token is none":          {proxy: caddy(), token: "a.b.c", check: "upgrade", advice: "weir token check"},
		"the token is for something": {proxy: caddy(), flags: []string{"--channel", "else:1"}, check: "token", advice: "the claim channels", beside: "resume stream"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			token := s.token
			if c.token != "" {
				token = c.token
			}
			proxy := c.proxy(t)
			out, err := diagnosis(t, proxy, token, c.flags...)
			for tries := 0; c.sometimes && err == nil && tries < 20; tries++ {
				out, err = diagnosis(t, proxy, token, c.flags...)
			}
			if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 1 {
				t.Error(err)
			}
			failed := regexp.MustCompile(`(?m)^(\w+) +FAILED .*\n +(.*)$`).FindAllStringSubmatch(out, -1)
			told := false
			for _, f := range failed {
				switch {
				case f[1] == c.check:
					told = strings.Contains(f[2], c.advice)
				case !strings.Contains(c.beside, f[1]):
					t.Errorf("%s fails, too", f[1])
				}
			}
			if !told {
				t.Errorf("%s does not fail with %q", c.check, c.advice)
			}
			if t.Failed() {
				t.Log(out)
			}
		})
	}
}
