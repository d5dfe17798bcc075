package notify

import (
	"context"
	"errors"

	"weir/relay/systems/notify/token"
)

// errNoToken is wrapped by the error of a fetch that trying again does not help.
var errNoToken = errors.New("the push service does not accept the relay's key")

// use calls post with a token. If that is stale, it does so once more with a new one: the service may have revoked it before
// its time.
func use(ctx context.Context, t *token.Token, post func(bearer string) (o outcome, stale bool)) outcome {
	for again := false; ; again = true {
		bearer, err := t.Get(ctx)
		switch {
		case errors.Is(err, errNoToken):
			return outcome{verdict: alarming, problem: err.Error()}
		case err != nil:
			o := silence(err)
			o.problem = "no token: " + o.problem
			return o
		}
		o, stale := post(bearer)
		if !stale {
			return o
		}
		t.Drop(bearer)
		if again {
			o.verdict = alarming
			return o
		}
	}
}
