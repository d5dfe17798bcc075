package relay

import (
	"strings"
	"testing"
	"time"

	"weir/internal/wire"
	"weir/relay/auth"
)

// The wall clock is set by hours in both directions while the relay runs: tokens go by it, and nothing else.
// Sessions, presence, items, history, idempotency keys and the disk do not notice.
func TestWallClockMoves(t *testing.T) {
	t.Parallel()
	clock := new(fakeClock)
	cfg := openConfig()
	cfg.Clock, cfg.Data = clock.now, t.TempDir()
	kept := cfg.Namespaces["default"]
	kept.Durable, kept.History.TTL = true, 10*time.Minute
	cfg.Namespaces["kept"] = kept
	g := launch(t, cfg)
	long := g.wsOn(g.dial(), "/ws", "Authorization: Bearer "+mintClaims(t, auth.Claims{Sub: "u1", TTL: 100 * time.Hour}))
	short := g.ws("u2") // an hour
	for _, channel := range []string{"room", "kept:room"} {
		long.say(`{"type":"subscribe","channel":"` + channel + `"}`)
		long.want("subscribed")
	}
	const again = `{"channel":"kept:room","key":"k","data":1,"ttl":3600000,"idempotencyKey":"once"}`
	first := heardIn(t, []byte(g.ask("POST", "/v1/publish", again, "Authorization: Bearer "+apiKey).body)).Position
	long.want("channel_update")
	g.publish(`{"channel":"room","key":"k","data":1,"ttl":3600000}`)
	long.want("channel_update")

	for _, by := range []time.Duration{-2 * time.Hour, 12 * time.Hour, -9 * time.Hour} { // up to an hour before the token ends, and back
		clock.advance(by)
		if by > 0 {
			if reason := short.wantClose(wire.CloseUnauthorized); reason != "token expired" {
				t.Errorf("reason %q", reason)
			}
		}
		long.alive()
		for _, channel := range []string{"room", "kept:room"} {
			if a := g.ask("GET", "/v1/channels/"+channel, "", "Authorization: Bearer "+apiKey); !strings.Contains(a.body, `"k":1`) {
				t.Errorf("%v: %s holds %s", by, channel, a.body)
			}
			if a := g.ask("GET", "/v1/channels/"+channel+"/history", "", "Authorization: Bearer "+apiKey); !strings.Contains(a.body, `"seq":1`) {
				t.Errorf("%v: the history of %s: %s", by, channel, a.body)
			}
			if a := g.ask("GET", "/v1/channels/"+channel+"/presence", "", "Authorization: Bearer "+apiKey); !strings.Contains(a.body, `"u1"`) {
				t.Errorf("%v: presence of %s: %s", by, channel, a.body)
			}
		}
		if at := heardIn(t, []byte(g.ask("POST", "/v1/publish", again, "Authorization: Bearer "+apiKey).body)).Position; at != first {
			t.Errorf("%v: the same key was answered %v and %v", by, first, at)
		}
		g.publish(`{"channel":"room","data":2}`)
		long.want("channel_update")
	}
	// Who comes now is held against the clock as it is.
	if a := g.shake("/ws", "Authorization: Bearer "+mintClaims(t, auth.Claims{Sub: "u3", IssuedAt: clock.now().Add(-2 * time.Hour)})); a.StatusCode != 401 {
		t.Errorf("an expired token: %d", a.StatusCode)
	}
	g.wsOn(g.dial(), "/ws", "Authorization: Bearer "+mintClaims(t, auth.Claims{Sub: "u3", IssuedAt: clock.now()})).alive()
}
