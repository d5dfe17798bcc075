// Package token keeps the credential of the relay at a service for as long as that is valid.
//
// The entry point is [Token]. Concurrent callers share one fetch.
package token

import (
	"context"
	"sync"
	"time"
)

// Token is the credential of the relay at a service, for as long as it is valid. Its methods may be called concurrently.
type Token struct {
	// Fetch fetches one. It is set before the first use.
	Fetch func(ctx context.Context) (value string, until time.Time, err error)

	// Guarded by mu, which is not held while fetching.
	mu      sync.Mutex
	value   string
	until   time.Time
	pending chan struct{} // closed when the fetch under way has ended; nil: there is none
	err     error         // of the last fetch
}

// Get returns a valid token, and fetches it if necessary.
func (t *Token) Get(ctx context.Context) (string, error) {
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
			value, until, err := t.Fetch(ctx)
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

// Drop drops a token that the service has refused.
func (t *Token) Drop(value string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.value == value {
		t.value = ""
	}
}
