package notify

import (
	"context"
	"errors"
	"sync"
	"time"
)

// token is the credential of the relay at a service, for as long as it is valid. Concurrent callers share one fetch.
type token struct {
	// Set once.
	fetch func(ctx context.Context) (value string, until time.Time, err error)

	// Guarded by mu, which is not held while fetching.
	mu      sync.Mutex
	value   string
	until   time.Time
	pending chan struct{} // closed when the fetch under way has ended; nil: there is none
	err     error         // of the last fetch
}

// get returns a valid token, and fetches it if necessary.
func (t *token) get(ctx context.Context) (string, error) {
	for {
		t.mu.Lock()
		if t.value != "" && time.Now().Before(t.until) {
			defer t.mu.Unlock()
			return t.value, nil
		}
		pending := t.pending
		if pending == nil {
			pending = make(chan struct{})
			t.pending = pending
			t.mu.Unlock()
			value, until, err := t.fetch(ctx)
			t.mu.Lock()
			t.value, t.until, t.err, t.pending = value, until, err, nil
			t.mu.Unlock()
			close(pending)
			return value, err
		}
		t.mu.Unlock()
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-pending:
		}
		t.mu.Lock()
		err := t.err
		t.mu.Unlock()
		if err != nil {
			return "", err
		}
	}
}

// errNoToken is wrapped by the error of a fetch that trying again does not help.
var errNoToken = errors.New("the relay's key is not accepted")

// use calls post with a token. If that is stale, it does so once more with a new one: the service may have revoked it before
// its time.
func (t *token) use(ctx context.Context, post func(bearer string) (o outcome, stale bool)) outcome {
	for again := false; ; again = true {
		bearer, err := t.get(ctx)
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
		t.drop(bearer)
		if again {
			o.verdict = alarming
			return o
		}
	}
}

// drop drops a token that the service has refused.
func (t *token) drop(value string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.value == value {
		t.value = ""
	}
}
