package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/golang-jwt/jwt/v5"

	"weir/relay"
	"weir/relay/auth"
	"weir/relay/config"
	"weir/relay/systems/mercure"
)

// Development mode has published credentials, and what is open without any, on loopback only. Elsewhere, and wherever
// one's own have taken their place, one's own alone are good.
func TestDevelopmentCredentials(t *testing.T) {
	const secret, key = "a-secret-of-my-own-for-development-mode", "an-api-key-of-my-own-for-development-mode"
	mine, err := auth.Mint(secret, "", auth.Claims{Sub: "u1"})
	if err != nil {
		t.Fatal(err)
	}
	published, err := auth.Mint(auth.DevSecret, "", auth.Claims{Sub: "u1"})
	if err != nil {
		t.Fatal(err)
	}
	update, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"mercure": map[string]any{"publish": []string{"*"}}}).SignedString([]byte(mercure.DevKey))
	if err != nil {
		t.Fatal(err)
	}
	for _, mode := range []struct {
		name string
		cfg  config.Config
		good map[string]bool // of the credentials below
	}{
		{"loopback", config.Config{}, map[string]bool{
			"published token": true, "key dev": true, "page with a token": true, "demo token": true, "demo token, own key": true, "pusher app": true, "pusher socket": true,
			"mercure update": true, "mercure stream": true, "motia stream": true,
		}},
		{"loopback, own keys", config.Config{DevTokenSecret: secret, DevAPIKey: key}, map[string]bool{
			"own token": true, "own key": true, "page with a token": true, "demo token": true, "demo token, own key": true, "pusher app": true, "pusher socket": true,
			"mercure update": true, "mercure stream": true, "motia stream": true,
		}},
		{"elsewhere", config.Config{Listen: "0.0.0.0:8080", DevTokenSecret: secret, DevAPIKey: key}, map[string]bool{
			"own token": true, "own key": true, "demo token, own key": true, "own token by another name": true,
		}},
	} {
		t.Run(mode.name, func(t *testing.T) {
			t.Parallel()
			at := develop(t, mode.cfg)
			ask := func(method, path, bearer, body string, header ...string) (int, string) {
				req, err := http.NewRequestWithContext(t.Context(), method, at+path, strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				req.Close = true
				if bearer != "" {
					req.Header.Set("Authorization", "Bearer "+bearer)
				}
				for i := 0; i < len(header); i += 2 {
					req.Header.Set(header[i], header[i+1])
					if header[i] == "Host" {
						req.Host = header[i+1]
					}
				}
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = resp.Body.Close() }()
				if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") { // which does not end
					return resp.StatusCode, ""
				}
				b, err := io.ReadAll(resp.Body)
				if err != nil {
					t.Fatal(err)
				}
				return resp.StatusCode, string(b)
			}
			token := func(bearer string, header ...string) bool {
				status, _ := ask("GET", "/sse?channel=demo:lobby", bearer, "", header...)
				return status == 200
			}
			publish := func(bearer string) bool {
				status, _ := ask("POST", "/v1/publish", bearer, `{"channel":"demo:lobby","data":1}`)
				return status == 200
			}
			demo := func(bearer string) bool { // what it makes is good, too
				status, text := ask("GET", "/demo/token?user=ann", bearer, "")
				var made struct{ Token string }
				return status == 200 && json.Unmarshal([]byte(text), &made) == nil && token(made.Token)
			}
			socket := func(path string) bool {
				conn, _, err := websocket.Dial(t.Context(), at+path, nil)
				if err != nil {
					return false
				}
				defer func() { _ = conn.CloseNow() }()
				_, m, err := conn.Read(t.Context())
				return err == nil && !strings.Contains(string(m), "error")
			}
			for name, works := range map[string]func() bool{
				"published token":           func() bool { return token(published) },
				"own token":                 func() bool { return token(mine) },
				"own token by another name": func() bool { return token(mine, "Host", "weir.example") },
				"forged token":              func() bool { return token(mine + "x") },
				"no token":                  func() bool { return token("") },
				"key dev":                   func() bool { return publish(config.DevKey) },
				"own key":                   func() bool { return publish(key) },
				"no key":                    func() bool { return publish("") },
				"page with a token": func() bool {
					status, page := ask("GET", "/", "", "")
					given := regexp.MustCompile(`name="weir-token" content="([^"]+)"`).FindStringSubmatch(page)
					return status == 200 && given != nil && token(given[1])
				},
				"demo token":          func() bool { return demo("") },
				"demo token, own key": func() bool { return demo(key) },
				"pusher app": func() bool {
					p := &program{stdout: io.Discard, stderr: io.Discard, stdin: strings.NewReader("")}
					return p.execute([]string{"pusher", "check", "--url", at}) == nil
				},
				"pusher socket": func() bool { return socket("/app/dev?protocol=7") },
				"mercure update": func() bool {
					status, _ := ask("POST", "/.well-known/mercure", update, url.Values{"topic": {"a"}, "data": {"x"}}.Encode(), "Content-Type", "application/x-www-form-urlencoded")
					return status == 200
				},
				"mercure stream": func() bool {
					status, _ := ask("GET", "/.well-known/mercure?topic=a", "", "")
					return status == 200
				},
				"motia stream": func() bool {
					conn, _, err := websocket.Dial(t.Context(), at+"/motia", nil)
					if err != nil {
						return false
					}
					defer func() { _ = conn.CloseNow() }()
					if err := conn.Write(t.Context(), websocket.MessageText, []byte(`{"type":"join","data":{"subscriptionId":"s","streamName":"chat","groupId":"g"}}`)); err != nil {
						return false
					}
					_, m, err := conn.Read(t.Context())
					return err == nil && strings.Contains(string(m), `"sync"`)
				},
			} {
				// On loopback the token by another name is refused with its host; see TestRebinding.
				if got := works(); got != mode.good[name] {
					t.Errorf("%s: accepted %t, want %t", name, got, mode.good[name])
				}
			}
		})
	}
}

// develop starts a relay in development mode, with all systems. Listeners are on loopback whatever the configuration says.
func develop(t *testing.T, cfg config.Config) (at string) {
	t.Helper()
	cfg.Dev, cfg.Known = true, known()
	cfg = cfg.WithDefaults()
	if problems := config.Check(cfg).Problems; len(problems) > 0 {
		t.Fatal(problems)
	}
	srv, err := newServer(cfg, quiet())
	if err != nil {
		t.Fatal(err)
	}
	ln, adm := loopbackListener(t), loopbackListener(t)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- srv.(*relay.Relay).ServeOn(ctx, ln, adm) }() // ends with cancel, waited for below
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	<-srv.Ready()
	return "http://" + ln.Addr().String()
}
