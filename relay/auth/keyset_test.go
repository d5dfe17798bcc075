package auth

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// status is how fetching the key set goes.
func (v *Verifier) status() keySetStatus {
	if set := v.rules.Load().set; set != nil {
		return set.read()
	}
	return keySetStatus{}
}

// provider is a fake source of key sets.
type provider struct {
	fetches atomic.Int32
	fail    atomic.Bool
	keys    atomic.Pointer[keysByID]
}

var errDown = errors.New("provider is down")

func (p *provider) fetch(context.Context) (keysByID, error) {
	p.fetches.Add(1)
	if p.fail.Load() {
		return nil, errDown
	}
	return *p.keys.Load(), nil
}

func (p *provider) publish(kids ...string) {
	keys := keysByID{}
	for _, id := range kids {
		keys[id] = []*key{{alg: eddsa, public: ed25519Key().Public()}}
	}
	p.keys.Store(&keys)
}

// verifier returns a Verifier that gets its keys from p, and from the wall clock of the bubble.
func (p *provider) verifier(t *testing.T, refresh time.Duration) *Verifier {
	v := newVerifier(t, Config{Keys: []TokenKey{{ID: "hs", Algorithm: "HS256", Secret: secret}}, Now: time.Now})
	r := *v.rules.Load()
	r.set = newKeySet(JWKS{URL: "https://login.example.com/jwks", Refresh: refresh}, nil, p.fetch, nil)
	v.rules.Store(&r)
	return v
}

func ed(id string) string {
	c := jwt.MapClaims{"sub": "u1", "exp": time.Now().Add(48 * time.Hour).Unix()}
	return sign(jwt.SigningMethodEdDSA, ed25519Key(), kid(id), c)
}

func wantAccepted(t *testing.T, v *Verifier, token string) {
	t.Helper()
	if _, err := v.Verify(token); err != nil {
		t.Errorf("refused: %v", err)
	}
}

func wantUnknown(t *testing.T, v *Verifier, token string) {
	t.Helper()
	_, err := v.Verify(token)
	wantReason(t, err, ReasonKey, token)
}

func TestKeySetRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p provider
		p.publish("k1")
		v := p.verifier(t, time.Hour)
		synctest.Wait()
		wantAccepted(t, v, ed("k1"))
		wantUnknown(t, v, sign(jwt.SigningMethodEdDSA, ed25519Key(), nil, jwt.MapClaims{"sub": "u1", "exp": time.Now().Add(time.Hour).Unix()}))
		wantReasonOf(t, v, sign(jwt.SigningMethodHS256, []byte(secret), kid("k1"), claimsAt()), ReasonAlgorithm)

		// The provider changes its key; the first token of the new one makes us ask again.
		time.Sleep(time.Minute)
		p.publish("k2")
		wantAccepted(t, v, ed("k1"))
		wantUnknown(t, v, ed("k2"))
		synctest.Wait()
		wantAccepted(t, v, ed("k2"))
		if n := p.fetches.Load(); n != 2 {
			t.Errorf("%d fetches, want 2", n)
		}
		wantUnknown(t, v, ed("k1")) // gone from the set, so gone here; it may ask for a fetch too
	})
}

func wantReasonOf(t *testing.T, v *Verifier, token string, want Reason) {
	t.Helper()
	_, err := v.Verify(token)
	wantReason(t, err, want, token)
}

func TestKeySetIsRefreshedAtTheInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p provider
		p.publish("k1")
		v := p.verifier(t, time.Hour)
		time.Sleep(time.Hour - time.Second)
		p.publish("k2")
		wantAccepted(t, v, ed("k1"))
		time.Sleep(2 * time.Second)
		synctest.Wait()
		wantAccepted(t, v, ed("k2"))
		time.Sleep(10 * time.Hour)
		synctest.Wait()
		if s := v.status(); s.Fetches != 12 || s.Failures != 0 || s.Keys != 1 || s.Err != nil || time.Since(s.Fetched) > time.Hour {
			t.Errorf("status = %+v, want 12 good fetches", s)
		}
	})
}

// A token of a key that the set does not have waits for the set, all such tokens for one fetch.
func TestTokensWaitForTheirKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p provider
		p.publish("k1")
		v := p.verifier(t, time.Hour)
		synctest.Wait()
		p.publish("k2") // right after the start
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				if _, err := v.VerifyWaiting(ed("k2")); err != nil {
					t.Errorf("refused: %v", err)
				}
			})
		}
		all.Wait()
		if n := p.fetches.Load(); n != 2 && n != 3 { // one more for those that came when it had begun
			t.Errorf("%d fetches, want 2 or 3", n)
		}
		time.Sleep(fetchBurst * fetchGap) // as many may be asked for again
		_, err := v.VerifyWaiting(ed("nobody"))
		if refused, ok := errors.AsType[*Error](err); !ok || refused.Reason != ReasonKey || refused.Retry {
			t.Errorf("a key that nobody has: %v", err)
		}
		p.fail.Store(true)
		_, err = v.VerifyWaiting(ed("k3"))
		if refused, ok := errors.AsType[*Error](err); !ok || !refused.Retry {
			t.Errorf("while fetching fails: %v", err)
		}
		wantAccepted(t, v, ed("k2"))
	})
}

// Nobody waits longer than keyPatience, nor more than maxKeyWaits of them.
func TestTokensDoNotWaitForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		first := true
		set := newKeySet(JWKS{URL: "https://a.example.com/", Refresh: time.Hour}, nil, func(context.Context) (keysByID, error) {
			if !first {
				<-hang
			}
			first = false
			return keysByID{}, nil
		}, nil)
		v := newVerifier(t, Config{Keys: []TokenKey{{Algorithm: "HS256", Secret: secret}}, Now: time.Now})
		r := *v.rules.Load()
		r.set = set
		v.rules.Store(&r)
		synctest.Wait()
		began := time.Now()
		var soon atomic.Int32
		var all sync.WaitGroup
		for range maxKeyWaits + 50 {
			all.Go(func() {
				_, err := v.VerifyWaiting(ed("k2"))
				if refused, ok := errors.AsType[*Error](err); !ok || !refused.Retry {
					t.Errorf("refused with %v", err)
				}
				if time.Since(began) == 0 {
					soon.Add(1)
				}
			})
		}
		all.Wait()
		if soon.Load() != 50 || time.Since(began) != keyPatience {
			t.Errorf("%d did not wait, the others for %v", soon.Load(), time.Since(began))
		}
		close(hang)
	})
}

// Whoever sends random key ids costs the provider a request in ten seconds, and three at first, whatever their number.
func TestUnknownKeyIDsAreRateLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p provider
		p.publish("k1")
		v := p.verifier(t, time.Hour)
		token := ed("nobody")
		for range 600 { // a minute
			wantUnknown(t, v, token)
			time.Sleep(100 * time.Millisecond)
		}
		synctest.Wait()
		if n := p.fetches.Load(); n < 8 || n > 10 {
			t.Errorf("%d fetches in a minute, want 8 to 10", n)
		}
		// Key ids of configured keys, ids that cannot be one and tokens without one ask for nothing.
		time.Sleep(time.Minute)
		n := p.fetches.Load()
		for _, token := range []string{
			sign(jwt.SigningMethodHS256, []byte(other), kid("hs"), claimsAt()),
			sign(jwt.SigningMethodHS256, []byte(secret), kid("../../x"), claimsAt()),
			sign(jwt.SigningMethodHS256, []byte(secret), kid(strings.Repeat("k", 500)), claimsAt()),
			sign(jwt.SigningMethodHS256, []byte(secret), nil, claimsAt()),
			sign(jwt.SigningMethodHS384, []byte(secret), kid("nobody"), claimsAt()),
		} {
			if _, err := v.Verify(token); err == nil {
				t.Error("accepted")
			}
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := p.fetches.Load(); got != n {
			t.Errorf("%d fetches for tokens that name no new key", got-n)
		}
	})
}

func TestKeySetIsUsedStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p provider
		p.publish("k1")
		v := p.verifier(t, time.Hour)
		synctest.Wait()
		fetched := v.status().Fetched
		p.fail.Store(true)
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		wantAccepted(t, v, ed("k1"))
		s := v.status()
		if !errors.Is(s.Err, errDown) || !s.Fetched.Equal(fetched) || s.Keys != 1 || s.Failures != s.Fetches-1 {
			t.Errorf("status = %+v", s)
		}
		// It is tried again sooner than the interval says, but not more and more often.
		const perDay = 23 * 60 / 5 // the first hour knows nothing of the fault
		if s.Failures < perDay || s.Failures > perDay+6 {
			t.Errorf("%d failures in a day, want one in five minutes, and some at first", s.Failures)
		}
		p.fail.Store(false)
		time.Sleep(maxRetry)
		synctest.Wait()
		if s := v.status(); s.Err != nil || !s.Fetched.After(fetched) {
			t.Errorf("status after the fault = %+v", s)
		}
	})
}

func TestKeySetNeverFetched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p provider
		p.fail.Store(true)
		v := p.verifier(t, time.Hour)
		if err := v.WaitKeys(t.Context()); !errors.Is(err, errDown) {
			t.Errorf("WaitKeys: %v", err)
		}
		token := ed("k1")
		_, err := v.Verify(token)
		wantReason(t, err, ReasonKey, token)
		var e *Error
		if !errors.As(err, &e) || !e.Retry {
			t.Error("the error does not say that the token could not be judged")
		}
		synctest.Wait() // the token asked for a fetch, which fails too: the next one is two gaps away
		c := jwt.MapClaims{"sub": "u1", "exp": time.Now().Add(time.Hour).Unix()}
		wantAccepted(t, v, hs(secret, "hs", c)) // configured keys need no key set
		p.publish("k1")
		p.fail.Store(false)
		time.Sleep(2 * fetchGap)
		synctest.Wait()
		wantAccepted(t, v, token)
		if err := v.WaitKeys(t.Context()); err != nil {
			t.Errorf("WaitKeys with keys: %v", err)
		}
		_, err = v.VerifyWaiting(ed("k2"))
		if !errors.As(err, &e) || e.Retry {
			t.Error("an unknown key calls for another try")
		}
	})
}

func TestWaitKeysEndsWithItsContext(t *testing.T) {
	set := newKeySet(JWKS{Refresh: time.Hour}, nil, func(ctx context.Context) (keysByID, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}, nil)
	v := newVerifier(t, Config{Keys: []TokenKey{{Algorithm: "HS256", Secret: secret}}})
	if err := v.WaitKeys(t.Context()); err != nil {
		t.Errorf("without a key set: %v", err)
	}
	r := *v.rules.Load()
	r.set = set
	v.rules.Store(&r)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := v.WaitKeys(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v, want context.Canceled", err)
	}
	v.Close() // cancels the fetch and waits for it
}

func TestReloadKeepsTheKeySet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p provider
		p.publish("k1")
		old := newKeySet(JWKS{URL: "https://a.example.com/", Refresh: time.Hour}, nil, p.fetch, nil)
		synctest.Wait()
		hang := func(ctx context.Context) (keysByID, error) { <-ctx.Done(); return nil, ctx.Err() }
		same := newKeySet(JWKS{URL: "https://a.example.com/", Refresh: time.Minute}, old, hang, nil)
		moved := newKeySet(JWKS{URL: "https://b.example.com/", Refresh: time.Hour}, old, hang, nil)
		weaker := newKeySet(JWKS{URL: "https://a.example.com/", Refresh: time.Hour, AllowInsecure: true}, old, hang, nil)
		if keys, known, _ := same.lookup("k1", true); len(keys) != 1 || !known || same.read().Keys != 1 {
			t.Error("another interval loses the keys")
		}
		for _, s := range []*keySet{moved, weaker} {
			if _, known, _ := s.lookup("k1", false); known {
				t.Error("keys of another source are believed")
			}
		}
		for _, s := range []*keySet{old, same, moved, weaker} {
			s.close()
		}
	})
}

// A token without an id may be of a configured key or of the set, when both have keys without one.
func TestKeysWithoutAnID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p provider
		p.publish("")
		v := newVerifier(t, Config{Keys: []TokenKey{{Algorithm: "HS256", Secret: secret}}, Now: time.Now})
		r := *v.rules.Load()
		r.set = newKeySet(JWKS{URL: "https://login.example.com/jwks", Refresh: time.Hour}, nil, p.fetch, nil)
		v.rules.Store(&r)
		c := jwt.MapClaims{"sub": "u1", "exp": time.Now().Add(time.Hour).Unix()}
		wantAccepted(t, v, hs(secret, "", c)) // before the set is there, too
		synctest.Wait()
		for range 2 { // finding both leaves the configured list as it was
			wantAccepted(t, v, hs(secret, "", c))
			wantAccepted(t, v, sign(jwt.SigningMethodEdDSA, ed25519Key(), nil, c))
		}
		wantReasonOf(t, v, hs(other, "", c), ReasonSignature)
		wantReasonOf(t, v, sign(jwt.SigningMethodRS256, rsaKey(), nil, c), ReasonAlgorithm)
	})
}
