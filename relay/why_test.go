package relay

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"weir/relay/auth"
	"weir/relay/config"
	"weir/relay/hub"
)

// A client that may not is told why in development mode, and the log says it in both; elsewhere clients learn nothing.
func TestDeniedChannelsSayWhy(t *testing.T) {
	t.Parallel()
	const why = `namespace closed: subscribe is \"capability\"; the token has \"room:*\" with *, which does not cover the channel; no pattern covers the channel`
	token := mintClaims(t, auth.Claims{Sub: "u1", Channels: map[string][]string{"room:*": {"*"}}})
	for _, dev := range []bool{false, true} {
		cfg := openConfig()
		cfg.Namespaces["closed"] = config.Namespace{Subscribe: config.Capability}
		g := launch(t, cfg, func(r *Relay) { r.hub.Config.Dev = dev })
		for _, a := range []answered{
			g.ask("POST", "/command", `{"type":"history","channel":"closed:1"}`, "Authorization: Bearer "+token),
			g.ask("GET", "/sse?channel=closed:1", "", "Authorization: Bearer "+token),
		} {
			if !strings.Contains(a.body, "forbidden") || strings.Contains(a.body, "the token has") != dev {
				t.Errorf("dev %v: %d %s", dev, a.StatusCode, a.body)
			}
		}
		if log := g.logs.String(); !strings.Contains(log, `"msg":"access refused"`) || !strings.Contains(log, "user u1: history on closed:1: "+why) {
			t.Errorf("dev %v: %s", dev, log)
		}
	}
}

// The admin listener explains decisions about clients that are not there.
func TestWhy(t *testing.T) {
	t.Parallel()
	cfg := openConfig()
	cfg.Namespaces["closed"] = config.Namespace{Subscribe: config.Capability}
	g := launch(t, cfg)
	why := func(body string) (int, hub.Explanation) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+g.admin+"/why", bytes.NewReader([]byte(body)))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := (&http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		b, _ := io.ReadAll(resp.Body)
		var e hub.Explanation
		_ = json.Unmarshal(b, &e)
		return resp.StatusCode, e
	}
	token := mintClaims(t, auth.Claims{Sub: "u1", Roles: []string{"admin"}, Channels: map[string][]string{"closed:1": {"subscribe"}}})
	for body, want := range map[string]struct {
		status  int
		allowed bool
		step    string
	}{
		`{"channel":"closed:1","token":"` + token + `"}`:                {200, true, "user u1 with the roles admin"},
		`{"channel":"closed:1","op":"publish","token":"` + token + `"}`: {200, false, "u1"},
		`{"channel":"closed:2","token":"` + token + `"}`:                {200, false, "no pattern covers the channel"},
		`{"channel":"closed:2","token":"x.y.z"}`:                        {200, false, "the token is refused: malformed"},
		`{"channel":"a b","token":"` + token + `"}`:                     {200, false, "is not the name of a channel"},
		`{"channel":"closed:2"}`:                                        {200, false, "there is no token"},
		`{"channel":"closed:2","op":"x"}`:                               {400, false, ""},
		`[]`:                                                            {400, false, ""},
	} {
		status, e := why(body)
		if status != want.status || e.Allowed != want.allowed || !strings.Contains(e.String(), want.step) {
			t.Errorf("%s: %d %+v", body, status, e)
		}
	}
	if strings.Contains(g.logs.String(), "refused") {
		t.Error("asking why is told as a refusal: " + g.logs.String())
	}
}
