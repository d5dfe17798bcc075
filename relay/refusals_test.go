package relay

import (
	"strings"
	"testing"
	"time"

	"weir/relay/auth"
)

// A token that is refused is told in the log, by its reason, without a word of it; in development mode the answer says it,
// too, and elsewhere it does not.
func TestRefusedTokensSayWhy(t *testing.T) {
	t.Parallel()
	mistakes := map[auth.Reason]string{
		auth.ReasonMissing:   "",
		auth.ReasonMalformed: "canary.canary",
		auth.ReasonSignature: mint(t, "canary") + "AAAA",
		auth.ReasonExpired:   mintClaims(t, auth.Claims{Sub: "canary", IssuedAt: time.Now().Add(-3 * time.Hour)}),
	}
	for _, dev := range []bool{false, true} {
		g := launch(t, openConfig(), func(r *Relay) { r.hub.Config.Dev = dev })
		for reason, token := range mistakes {
			a := g.ask("GET", "/sse", "", "Authorization: Bearer "+token)
			if a.StatusCode != 401 || strings.Contains(a.body, `"detail":"`+string(reason)+": ") != dev {
				t.Errorf("dev %v: %s: %d %s", dev, reason, a.StatusCode, a.body)
			}
			if !strings.Contains(g.logs.String(), `"msg":"token refused","reason":"`+string(reason)+`"`) {
				t.Errorf("dev %v: %s is not in the log", dev, reason)
			}
		}
		if strings.Contains(g.logs.String(), "canary") {
			t.Error("the log shows parts of tokens: " + g.logs.String())
		}
	}
}

// So is who has a foreign origin, a ticket that is used up, or a wrong key.
func TestOtherRefusalsSayWhy(t *testing.T) {
	t.Parallel()
	for _, dev := range []bool{false, true} {
		g := launch(t, openConfig(), func(r *Relay) { r.hub.Config.Dev = dev })
		for _, tt := range []struct {
			method, path, header string
			status               int
			told, why            string
		}{
			{"GET", "/sse", "Origin: https://elsewhere.example", 403, "origin refused", "https://elsewhere.example"},
			{"GET", "/sse?ticket=canary", "Accept: */*", 401, "ticket refused", "the ticket was used"},
			{"GET", "/v1/channels", "Authorization: Bearer canary", 401, "api key refused", "not among api.keys"},
			{"OPTIONS", "/command", "Origin: https://elsewhere.example", 403, "origin refused", "https://elsewhere.example"},
		} {
			a := g.ask(tt.method, tt.path, "", tt.header)
			if a.StatusCode != tt.status || strings.Contains(a.body, tt.why) != dev {
				t.Errorf("dev %v: %s %s: %d %s", dev, tt.method, tt.path, a.StatusCode, a.body)
			}
			if log := g.logs.String(); !strings.Contains(log, `"msg":"`+tt.told+`"`) || !strings.Contains(log, tt.why) {
				t.Errorf("dev %v: %s is not in the log with %s: %s", dev, tt.told, tt.why, log)
			}
		}
		if strings.Contains(g.logs.String(), "canary") {
			t.Error("the log shows parts of credentials: " + g.logs.String())
		}
	}
}
