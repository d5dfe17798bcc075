package relay

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
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
		g := launch(t, openConfig(), func(r *Relay) { r.cfg.Dev = dev })
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

// However many are refused, the log has a line a second for each reason, and says how many more there were.
func TestRefusalsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var v refusals
		told := map[string]int{}
		for range 10 {
			for range 100 {
				for _, reason := range []auth.Reason{auth.ReasonExpired, auth.ReasonKey} {
					if since, ok := v.take(reason, time.Now()); ok {
						told[fmt.Sprint(reason, since)]++
					}
				}
			}
			time.Sleep(time.Second)
		}
		if len(told) != 4 || told["expired0"] != 1 || told["expired99"] != 9 || told["key99"] != 9 {
			t.Error(told)
		}
	})
}
