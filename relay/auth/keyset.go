package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"weir/internal/contain"
	"weir/internal/safedial"
)

const (
	fetchTimeout = 5 * time.Second
	fetchGap     = 10 * time.Second // after which one more fetch may be asked for by tokens of unknown keys
	fetchBurst   = 3                // such fetches that may follow one another at once
	keyPatience  = 3 * time.Second  // for which a token of an unknown key waits
	maxKeyWaits  = 256              // tokens that wait
	maxRetry     = 5 * time.Minute  // between fetches while they fail
	maxKeySet    = 1 << 20          // bytes of an answer
)

// keySetStatus is the outcome of fetching the key set. The zero value: no key set is configured.
type keySetStatus struct {
	Keys     int       // in use
	Fetched  time.Time // when those were fetched; zero: never, none can be used yet
	Fetches  uint64    // fetches that ended, good and bad
	Failures uint64    // of which failed
	Err      error     // why the last fetch failed; nil when it did not. Never shows the address
}

// keySet is a cached key set and the loop that renews it.
type keySet struct {
	// Set once by newKeySet.
	config  JWKS
	fetch   func(context.Context) (keysByID, error)
	kick    chan struct{} // capacity 1: ask has granted a fetch
	cancel  context.CancelFunc
	contain contain.Hook
	tried   chan struct{} // closed when the first fetch has ended
	done    chan struct{} // closed when the loop has ended

	// Atomic.
	keys  atomic.Pointer[keysByID] // nil until the first good fetch
	waits atomic.Int32             // tokens that wait

	// Guarded by mu.
	mu      sync.Mutex
	status  keySetStatus
	current chan struct{} // closed when the last fetch that has begun has ended
	next    chan struct{} // the same of the next one
	asked   bool          // for that
	spare   int           // fetches that may be asked for now
	since   time.Time     // when spare was what it is
}

// newKeySet starts the loop; close stops it and waits. It begins with what old has cached if that came
// from the same place; old may be nil. fetch nil means over the network.
func newKeySet(cfg JWKS, old *keySet, fetch func(context.Context) (keysByID, error), hook contain.Hook) *keySet {
	ctx, cancel := context.WithCancel(context.Background())
	first := make(chan struct{})
	s := &keySet{
		config: cfg, fetch: fetch, cancel: cancel, contain: hook,
		spare: fetchBurst, since: time.Now(), next: first, current: first,
		kick: make(chan struct{}, 1), tried: first, done: make(chan struct{}),
	}
	if old != nil && old.config.URL == cfg.URL && old.config.AllowInsecure == cfg.AllowInsecure {
		s.keys.Store(old.keys.Load())
		s.status = old.read()
	}
	client := safedial.Client(fetchTimeout)
	if cfg.AllowInsecure {
		client = safedial.Insecure(fetchTimeout)
	}
	if fetch == nil {
		s.fetch = func(ctx context.Context) (keysByID, error) { return fetchKeySet(ctx, client, cfg.URL) }
	}
	hook.Loop(nil, "key set", contain.Done(ctx), func() { // stopped by cancel, waited for through done
		s.run(ctx)
		client.CloseIdleConnections()
		close(s.done)
	}, func() { close(s.done) })
	return s
}

// close stops the loop and returns when it has ended. The cached keys can still be looked up.
func (s *keySet) close() {
	s.cancel()
	<-s.done
}

// lookup returns the keys with the id. A token without one cannot name a key that is new: for others, when there are
// none and ask says so, it asks for a fetch, without waiting for it, and reports whether one is on its way.
func (s *keySet) lookup(id string, ask bool) (keys []*key, known, coming bool) {
	for again := true; again; {
		set := s.keys.Load()
		if known = set != nil; known {
			keys = (*set)[id]
		}
		if len(keys) > 0 || id == "" || !ask {
			break
		}
		coming, again = s.ask(set)
	}
	return keys, known, coming
}

// ask asks for a fetch, which begins at once, since a key is not among those of set. It returns again if that is not the set any more, and coming
// false if no more may be asked for: random key ids cost the provider six requests a minute, and a few at first, whatever their number.
func (s *keySet) ask(set *keysByID) (coming, again bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys.Load() != set { // a fetch has ended since
		return false, true
	}
	if s.asked {
		return true, false
	}
	if more := int(time.Since(s.since) / fetchGap); more > 0 {
		s.spare = min(s.spare+more, fetchBurst)
		s.since = s.since.Add(time.Duration(more) * fetchGap)
	}
	if s.spare == 0 {
		return false, false
	}
	s.spare--
	s.asked = true
	s.kick <- struct{}{} // asked was false: it is empty
	return true, false
}

// await waits for the fetch that was asked for. It returns false if none was good, or none has ended yet.
func (s *keySet) await() bool {
	defer s.waits.Add(-1)
	if s.waits.Add(1) > maxKeyWaits {
		return false
	}
	s.mu.Lock()
	fetched := s.next
	if !s.asked { // the one that was asked for has begun
		fetched = s.current
	}
	s.mu.Unlock()
	patience := time.NewTimer(keyPatience)
	defer patience.Stop()
	select {
	case <-fetched:
		return s.read().Err == nil
	case <-patience.C:
		return false
	}
}

// run fetches at once, then after the interval, sooner after a failure or for an unknown key.
func (s *keySet) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C
	for failures := 0; ; {
		started := time.Now()
		if s.renew(ctx) {
			failures = 0
		} else {
			failures++
		}
		timer.Reset(time.Until(started.Add(s.pause(failures))))
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-s.kick:
		}
	}
}

// pause is the time from one fetch to the next after so many failures in a row.
func (s *keySet) pause(failures int) time.Duration {
	if failures == 0 {
		return s.config.Refresh
	}
	return min(s.config.Refresh, maxRetry, fetchGap<<min(failures-1, 8))
}

// renew fetches once. A failure leaves the cached set as it is.
func (s *keySet) renew(ctx context.Context) bool {
	s.mu.Lock()
	ended := s.next // who asks from now on wants another fetch
	s.current, s.next = ended, make(chan struct{})
	if s.asked {
		s.asked = false
		select {
		case <-s.kick: // the interval was over at the same time
		default:
		}
	}
	s.mu.Unlock()
	defer close(ended)
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	keys, err := keysByID(nil), errors.New("fetch key set: internal error, see the log")
	s.contain.Do("fetch of the key set", func() { keys, err = s.fetch(ctx) })
	if err == nil {
		s.keys.Store(&keys)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status.Fetches++
	s.status.Err = err
	if err != nil {
		s.status.Failures++
		return false
	}
	s.status.Fetched = time.Now()
	s.status.Keys = 0
	for _, list := range keys {
		s.status.Keys += len(list)
	}
	return true
}

func (s *keySet) read() keySetStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status
}

func fetchKeySet(ctx context.Context, client *http.Client, address string) (keysByID, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, errors.New("fetch key set: the url is not valid")
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	resp, err := client.Do(req)
	if err != nil {
		// url.Error shows the whole address, and its query may hold a key.
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err
		}
		return nil, fmt.Errorf("fetch key set: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetch key set: status %d", resp.StatusCode)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxKeySet+1))
	if err != nil {
		return nil, fmt.Errorf("fetch key set: %w", err)
	}
	if len(data) > maxKeySet {
		return nil, fmt.Errorf("fetch key set: the response is larger than %d bytes", maxKeySet)
	}
	keys, err := parseKeySet(data)
	if err != nil {
		return nil, fmt.Errorf("fetch key set: %w", err)
	}
	return keys, nil
}
