package notify

import (
	"context"
	"sync"
	"time"
)

// token is what a service knows the relay by, for as long as it is valid. It is fetched once for all who want it.
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

// get answers a token that is valid, fetching it if need be.
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

// drop forgets a token that the service has refused.
func (t *token) drop(value string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.value == value {
		t.value = ""
	}
}
