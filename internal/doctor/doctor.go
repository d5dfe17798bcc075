// Package doctor looks at a relay from outside, as the browser of a user would, through whatever stands before it, and says
// what is in the way and what to change. It is weir doctor.
//
// [Examine] makes the checks one after the other, each bounded in time, and calls back with each [Finding]. It keeps nothing
// and starts no goroutine beyond those of its connections, which end with it.
package doctor

import (
	"context"
	"time"

	"weir/internal/remote"
)

// State is how a check has ended.
type State string

// The states.
const (
	OK      State = "ok"
	Failed  State = "failed"  // somebody has to change something
	Skipped State = "skipped" // it could not be tried, or was not asked for
)

// Finding is what one check has found.
type Finding struct {
	Check  string `json:"check"`
	State  State  `json:"state"`
	Found  string `json:"found"`            // what was seen
	Advice string `json:"advice,omitempty"` // what to change, where; "" unless it failed
}

// Examination is what is to be looked at.
type Examination struct {
	Relay   *remote.Relay
	Channel string        // one that the token may subscribe to; "": the user's own
	Idle    time.Duration // how long a quiet connection is watched; 0: until the relay's heartbeat must have come
	Quick   bool          // no quiet connection is watched
}

// check is one look.
type check struct {
	name string
	run  func(ctx context.Context, x *examination) Finding
}

// examination is an Examination under way: what earlier checks have found.
type examination struct {
	Examination
	upgrades  bool       // upgrades reach the relay
	connected *connected // what the relay has said to a client; nil: none was let in
}

// connected is the first message of a relay.
type connected struct {
	UserID    string `json:"userId"`
	Heartbeat int64  `json:"heartbeat"` // ms
	ExpiresIn int64  `json:"expiresIn"` // ms
	Channel   string `json:"channel"`
}

var checks = []check{
	{"reach", reach},
	{"clock", clock},
	{"protocol", protocol},
	{"keys", keys},
	{"upgrade", upgrade},
	{"origin", origin},
	{"stream", stream},
	{"token", token},
	{"resume", resume},
	{"idle", idle},
}

// patience bounds one check, the idle one aside.
const patience = 15 * time.Second

// Examine makes all checks, and reports whether none has failed.
func Examine(ctx context.Context, e Examination, found func(Finding)) bool {
	x := &examination{Examination: e}
	well := true
	for _, c := range checks {
		bound := patience
		if c.name == "idle" {
			bound += x.watched()
		}
		within, cancel := context.WithTimeout(ctx, bound)
		f := c.run(within, x)
		cancel()
		f.Check = c.name
		found(f)
		well = well && f.State != Failed
		if ctx.Err() != nil || c.name == "reach" && f.State == Failed {
			return false
		}
	}
	return well
}

func ok(found string) Finding { return Finding{State: OK, Found: found} }
func failed(found, advice string) Finding {
	return Finding{State: Failed, Found: found, Advice: advice}
}
func skipped(found string) Finding { return Finding{State: Skipped, Found: found} }
