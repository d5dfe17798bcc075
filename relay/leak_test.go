package relay

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode"

	"weir/internal/wire"
	"weir/relay/auth"
	"weir/relay/stats"
)

// A token or key must be found nowhere but in the client's own request: not in a log line at any level,
// not in a metric, an error or an answer, good or bad, whichever way it came.
func TestTokensDoNotLeak(t *testing.T) {
	t.Parallel()
	cfg := openConfig()
	cfg.Auth.Cookie, cfg.Auth.QueryToken = "session", true
	var broken atomic.Bool
	g := launch(t, cfg, breakable(&broken))
	good := mintClaims(t, auth.Claims{Sub: "canary-user"})
	bad := good[:len(good)-4] + "beef"
	var canaries []string
	for _, token := range []string{good, bad} {
		canaries = append(canaries, token, strings.Split(token, ".")[1], strings.Split(token, ".")[2])
	}
	canaries = append(canaries, "canary-of-a-token", "canary-of-a-key", apiKey)
	var said strings.Builder // everything the relay answers
	hear := func(a answered) {
		fmt.Fprintf(&said, "%s %v %s\n", a.Status, a.Header, a.body)
	}
	for _, token := range []string{good, bad, "canary-of-a-token", "canary-of-a-token\x01", "canary-of-a-token\xff", "canary-of-a-token " + good} {
		q := url.QueryEscape(token)
		for _, lines := range [][]string{
			{"Authorization: Bearer " + token}, {"Authorization: bearer  " + token}, {"Authorization: Basic " + token}, {"Authorization: " + token},
			{"Sec-WebSocket-Protocol: weir, token." + token}, {"Sec-WebSocket-Protocol: token." + token + ", " + token}, {"Cookie: session=" + token}, {"Cookie: other=" + token},
			{"X-Forwarded-For: " + token}, {"Origin: " + token}, {"Sec-WebSocket-Extensions: " + token}, {"Host: " + token}, {token + ": x"},
		} {
			hear(g.shake("/ws", lines...))
		}
		for _, path := range []string{"/ws?token=" + q, "/ws?ticket=" + q, "/ws?token=" + q + "&ticket=" + q, "/ws?x=" + q, "/ws/" + q, "/" + q} {
			hear(g.shake(path))
			if !strings.ContainsAny(token, "\x01\xff ") {
				nc := g.dial()
				_, _ = io.WriteString(nc, "GET "+path+" HTTP/1.1 junk\r\nHost: x\r\n\r\n")
				b, _ := io.ReadAll(nc)
				said.Write(b)
			}
		}
		for _, body := range []string{token, `{"userId":"` + strings.ToValidUTF8(token, "") + `"}`} {
			hear(g.ask("POST", "/v1/tickets", body, "Authorization: Bearer "+token))
			hear(g.ask("POST", "/v1/publish", body, "Authorization: Bearer canary-of-a-key"))
			hear(g.ask("POST", "/v1/publish", body, "Authorization: Bearer canary-of-a-key", "Content-Type: "+token))
		}
		// What the HTTP server has to say about requests that it cannot read holds the whole of them.
		for _, request := range []string{
			"GET /ws?token=" + token + "\r\n\r\n", "GET /ws?token=" + token + " HTTP/1.1\r\nAuthorization : Bearer " + token + "\r\n\r\n",
			"GET /ws?token=" + token + "\x01 HTTP/1.1\r\nHost: x\r\n\r\n", "G@T /" + token + " HTTP/1.1\r\nHost: x\r\n\r\n",
			"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + token + "\x02\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: " + token + "\r\n\r\n",
			"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: " + token + "\r\n\r\n", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + token + "\r\n\r\n",
			token + "\r\n\r\n", "GET http://" + token + "/ HTTP/1.1\r\nHost: x\r\n\r\n", "GET / " + token + "\r\nHost: x\r\n\r\n",
		} {
			nc := g.dial()
			_, _ = io.WriteString(nc, request)
			_ = nc.(interface{ CloseWrite() error }).CloseWrite()
			b, _ := io.ReadAll(nc)
			said.Write(b)
			_ = nc.Close()
		}
	}
	for _, route := range g.relay.api.Backends() {
		path := strings.NewReplacer("{channel}", "canary-of-a-token", "{group}", "b", "{key}", "c").Replace(route.Path)
		a := g.ask(route.Method, path+"?token="+good, "", "Authorization: Bearer "+apiKey)
		fmt.Fprintln(&said, a.Status, a.Header)
	}
	p := g.wsOn(g.dial(), "/ws?token="+good)
	for _, token := range []string{bad, "canary-of-a-token", good} {
		p.say(refreshWith(token), `{"type":"canary-of-a-token","id":1,"token":"`+token+`"}`, `{"type":"refresh","token":"`+token)
		for range 3 {
			said.WriteString(p.next().raw)
		}
	}
	// And when things go wrong inside.
	broken.Store(true)
	p.say(`{"type":"subscribe","channel":"a","token":"` + good + `"}`)
	p.wantClose(wire.CloseInternal)
	hear(g.ask("POST", "/v1/tickets?token="+good, `{"userId":"`+good[:40]+`"}`, "Authorization: Bearer "+apiKey))
	_ = g.stop()

	var metrics strings.Builder
	g.relay.hub.Counters.Set.WritePrometheus(&metrics)
	if !strings.Contains(g.logs.String(), "panic") || !strings.Contains(metrics.String(), "weir_auth_failures_total") {
		t.Fatal("the test looks at nothing")
	}
	for where, text := range map[string]string{"the log": g.logs.String(), "the metrics": metrics.String(), "what was answered": said.String()} {
		for _, canary := range canaries {
			if i := strings.Index(text, canary); i >= 0 {
				t.Errorf("%.20s... is in %s: %.300s", canary, where, text[max(0, i-200):])
			}
		}
	}
}

// Whatever clients and backends send, a log line stays one line of one record.
func TestLogInjection(t *testing.T) {
	t.Parallel()
	const evil = "x\r\nlevel=ERROR msg=\"forged\"\n{\"level\":\"ERROR\",\"msg\":\"forged\"}\x1b[2J\x1b[31m\u2028\u0085\u202e\x00\x7f"
	for name, handler := range map[string]func(w io.Writer) slog.Handler{
		"json": func(w io.Writer) slog.Handler {
			return slog.NewJSONHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug})
		},
		"text": func(w io.Writer) slog.Handler {
			return slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug})
		},
	} {
		logs := new(logbook)
		var broken atomic.Bool
		g := launch(t, openConfig(), breakable(&broken), func(r *Relay) { r.hub.Log = slog.New(handler(logs)) })
		g.api(200, "POST", "/v1/tickets", `{"userId":"plain"}`)
		quoted, err := json.Marshal(evil)
		if err != nil {
			t.Fatal(err)
		}
		g.api(400, "POST", "/v1/tickets", `{"userId":`+string(quoted)+`}`) // what a token could not say
		a := g.api(200, "POST", "/v1/tickets", `{"userId":"u2","name":"level=ERROR msg=forged"}`)
		var ticket struct{ Ticket string }
		if err := json.Unmarshal([]byte(a.body), &ticket); err != nil {
			t.Fatal(err)
		}
		p := g.wsOn(g.dial(), "/ws?ticket="+ticket.Ticket)
		q := g.ws("u1")
		q.say(`{"type":` + string(quoted) + `,"id":1,"channel":` + string(quoted) + `,"token":` + string(quoted) + `}`)
		q.wantError("unknown_type")
		g.api(200, "POST", "/v1/disconnect", `{"userId":"u1","reason":`+string(quoted)+`}`)
		q.wantClose(wire.CloseForbidden)
		g.api(200, "POST", "/v1/disconnect", `{"userId":`+string(quoted)+`}`)
		escaped := url.PathEscape(evil)
		g.ask("GET", "/"+escaped, "", "User-Agent: "+strings.Map(printable, evil), "Referer: "+strings.Map(printable, evil))
		for _, request := range []string{"GET /" + evil + " HTTP/1.1\r\n\r\n", evil + "\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\nX: \x1b[31m\r\n\r\n"} {
			nc := g.dial()
			_, _ = io.WriteString(nc, request)
			_ = nc.(interface{ CloseWrite() error }).CloseWrite()
			_, _ = io.Copy(io.Discard, nc)
			_ = nc.Close()
		}
		// Errors inside, so that users and paths are logged.
		broken.Store(true)
		p.say(`{"type":"subscribe","channel":"a"}`)
		p.wantClose(wire.CloseInternal)
		g.ask("POST", "/v1/tickets?x="+escaped, `{"userId":"u"}`, "Authorization: Bearer "+apiKey)
		_ = g.stop()

		text := logs.String()
		if strings.Count(text, "broken by the test") < 2 {
			t.Fatalf("%s: the test looks at nothing: %s", name, text)
		}
		for line := range strings.Lines(text) {
			line = strings.TrimSuffix(line, "\n")
			if i := strings.IndexFunc(line, unicode.IsControl); i >= 0 {
				t.Errorf("%s: a control character in %q", name, line[max(0, i-50):])
			}
			if name == "text" && !strings.HasPrefix(line, "time=") {
				t.Errorf("text: a forged line: %q", line)
			}
			if name == "json" {
				var record struct{ Time, Level, Msg string }
				if err := json.Unmarshal([]byte(line), &record); err != nil || record.Time == "" || record.Msg == "forged" {
					t.Errorf("json: a forged line: %q", line)
				}
			}
			if len(line) > 16<<10 {
				t.Errorf("%s: a line of %d bytes", name, len(line))
			}
		}
	}
}

func printable(r rune) rune {
	if r < ' ' || r == 0x7f {
		return -1
	}
	return r
}

// breakable makes a relay whose commands and tickets panic once broken is set. What looks at the clock by itself, four times a second, does not: how often it comes to that is
// not for a test to count.
func breakable(broken *atomic.Bool) func(*Relay) {
	return func(r *Relay) {
		r.unrecorded = true // the recorder looks at the clock, too
		r.sessions.Now = func() time.Time {
			if broken.Load() && !bytes.Contains(debug.Stack(), []byte("expiries")) {
				panic("broken by the test")
			}
			return time.Now()
		}
	}
}

// A panic on a connection's path, wherever it happens, costs that connection or request and nothing else.
func TestPanicsAreContained(t *testing.T) {
	t.Parallel()
	cfg := openConfig()
	cfg.Compression = true
	var broken atomic.Bool
	g := launch(t, cfg, breakable(&broken))
	p, other := g.ws("u1"), g.ws("u1")
	lost := g.ws("u2", offerDeflate)
	s := g.relay.sessions.Session(lost.hello.ConnectionID)
	s.Break()
	lost.raw(clientFrame(wire.OpText, []byte("x")))
	lost.wantClose(wire.CloseInternal)
	p.alive()

	broken.Store(true)
	p.say(`[{"type":"ping","id":1},{"type":"subscribe","channel":"a"}]`)
	p.wantClose(wire.CloseInternal)
	other.alive()
	a := g.ask("POST", "/v1/tickets", `{"userId":"u"}`, "Authorization: Bearer "+apiKey)
	if a.StatusCode != 500 || !strings.Contains(a.body, `"internal"`) || strings.Contains(a.body, "broken") || !a.Close {
		t.Errorf("a panic in a request: %d %s", a.StatusCode, a.body)
	}
	broken.Store(false)
	g.ws("u1").alive()
	other.alive()
	if n := g.metric("weir_panics_total"); n != "3" {
		t.Errorf("%s panics are counted, want 3", n)
	}
	if n := strings.Count(g.logs.String(), `"stack"`); n != 3 {
		t.Errorf("%d panics are logged with their stack, want 3", n)
	}
	_ = p.nc.Close()
	g.until("the sessions are gone", func() bool { return g.relay.sessions.Count("u2") == 0 && g.relay.sessions.Count("u1") == 2 })
}

// One while a session is opened, before its client was answered, costs that connection too, and nobody waits for the
// session when the relay ends.
func TestPanicWhileConnecting(t *testing.T) {
	t.Parallel()
	g := launch(t, openConfig(), func(r *Relay) { r.hub.Counters.Opened, r.unrecorded = stats.Family{}, true }) // has no counter for anybody
	token := "Authorization: Bearer " + mint(t, "u1")
	for i, path := range []string{"/ws", "/sse?channel=a"} {
		nc := g.dial()
		if _, err := io.WriteString(nc, upgrade("relay", path, token)); err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(nc); err != nil && !isReset(err) || len(b) > 0 {
			t.Errorf("%s: %q %v", path, b, err)
		}
		if n := g.relay.hub.Counters.Panics.Get(); n != uint64(i+1) {
			t.Errorf("%s: %d panics are counted", path, n)
		}
	}
	g.until("the sessions are gone", func() bool { return g.relay.sessions.Len() == 0 })
	if a := g.ask("GET", "/v1/openapi.yaml", ""); a.StatusCode != 200 {
		t.Errorf("others: %d", a.StatusCode)
	}
}
