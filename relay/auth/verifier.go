package auth

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// MaxToken is the longest token that is looked at, in bytes.
const MaxToken = 8 << 10

// The errors of NewVerifier and Reload that are decisions; compare with errors.Is.
var (
	errNoKeys = errors.New("neither a key nor a jwks url")
	errClosed = errors.New("verifier is closed")
)

// Verifier checks the tokens of clients.
type Verifier struct {
	// Atomic.
	rules atomic.Pointer[rules]

	// Safe for concurrent use.
	scratch sync.Pool // of *scratch

	// Guarded by mu, which lets one Reload at a time put its rules in force.
	mu     sync.Mutex
	closed bool
}

// rules are a configuration in force. Set once, never written.
type rules struct {
	keys     keysByID
	set      *keySet // nil without a JWKS URL
	issuer   string
	audience string
	leeway   time.Duration
	now      func() time.Time
}

// scratch is room for the decoded parts of a token, which are all shorter than the token itself.
type scratch struct {
	header  [maxHeader + 2]byte
	payload [MaxToken * 3 / 4]byte
	sig     [maxRSABits/8 + 2]byte
}

// strict refuses a last character with bits that belong to no byte, so that a token has one spelling.
var strict = base64.RawURLEncoding.Strict()

// NewVerifier reads the key files that cfg names and returns a Verifier. It does not wait for the key
// set: fetching that begins now, in a goroutine that Close ends. errNoKeys: cfg names no keys.
func NewVerifier(cfg Config) (*Verifier, error) {
	v := &Verifier{scratch: sync.Pool{New: func() any { return new(scratch) }}}
	if err := v.Reload(cfg); err != nil {
		return nil, err
	}
	return v, nil
}

// Reload puts cfg in force from one Verify to the next, key files read again. On an error nothing
// changes. The cached key set is kept while its address is the same; another one starts empty, and its
// tokens are refused with Retry until it is fetched. errClosed: after Close.
func (v *Verifier) Reload(cfg Config) error {
	cfg, err := cfg.filled()
	if err != nil {
		return err
	}
	keys, err := readKeys(cfg.Keys)
	if err != nil {
		return err
	}
	r := &rules{keys: keys, issuer: cfg.Issuer, audience: cfg.Audience, leeway: cfg.Leeway, now: cfg.Now}

	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return fmt.Errorf("reload tokens: %w", errClosed)
	}
	var old *keySet
	if before := v.rules.Load(); before != nil {
		old = before.set
	}
	switch {
	case old != nil && old.config == cfg.JWKS:
		r.set, old = old, nil
	case cfg.JWKS.URL != "":
		r.set = newKeySet(cfg.JWKS, old, nil, cfg.Panic)
	}
	v.rules.Store(r)
	if old != nil {
		old.close()
	}
	return nil
}

// readKeys groups the configured keys by id.
func readKeys(list []TokenKey) (keysByID, error) {
	keys := make(keysByID)
	for i, t := range list {
		k, err := newKey(t)
		if err != nil {
			return nil, fmt.Errorf("configure token key %d (id %.64q): %w", i+1, t.ID, err)
		}
		if t.ID != "" && keys[t.ID] != nil {
			return nil, fmt.Errorf("configure token key %d (id %.64q): another key has this id", i+1, t.ID)
		}
		keys[t.ID] = append(keys[t.ID], k)
	}
	return keys, nil
}

// Close stops the goroutine that fetches the key set and waits for it, at most for a request that is
// being cancelled. Verify goes on with what is cached. Close is idempotent.
func (v *Verifier) Close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.closed = true
	if set := v.rules.Load().set; set != nil {
		set.close()
	}
}

// WaitKeys waits until the key set was fetched, or could not be, and returns why not; a server that
// calls it before it listens turns nobody away at the start. Fetching goes on in either case. Nil at
// once without a JWKS URL and when keys are cached; otherwise the error of ctx when that ends first.
func (v *Verifier) WaitKeys(ctx context.Context) error {
	set := v.rules.Load().set
	if set == nil || set.keys.Load() != nil {
		return nil
	}
	select {
	case <-set.tried:
		return set.read().Err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// VerifyWaiting is Verify for a caller that can wait: a token that names a key which the key set does not have waits until
// that has been fetched anew, for up to 3 seconds. At most 256 wait; what is more is refused with Retry.
func (v *Verifier) VerifyWaiting(token string) (*Identity, error) {
	id, err := v.Verify(token)
	refused, ok := errors.AsType[*Error](err)
	set := v.rules.Load().set
	if !ok || !refused.Retry || set == nil {
		return id, err
	}
	if !set.await() {
		return nil, err
	}
	return v.verify(token, false)
}

// Verify returns who the bearer of the token is. Errors are of type *Error. It does not wait for the
// network; an HS256 token takes about 4 µs, the others 50 to 100 µs, nearly all of it arithmetic.
func (v *Verifier) Verify(token string) (*Identity, error) { return v.verify(token, true) }

// verify is Verify. With ask a key that is unknown may be asked for.
func (v *Verifier) verify(token string, ask bool) (*Identity, error) {
	switch {
	case token == "":
		return nil, refuse(ReasonMissing, "")
	case len(token) > MaxToken:
		return nil, refuse(ReasonMalformed, "the token is longer than 8 KiB")
	case strings.IndexByte(token, '\n') >= 0, strings.IndexByte(token, '\r') >= 0: // base64 would pass over them
		return nil, refuse(ReasonMalformed, "the token holds a line break")
	}
	first := strings.IndexByte(token, '.')
	last := strings.LastIndexByte(token, '.')
	if first < 0 || first == last || strings.IndexByte(token[first+1:], '.') != last-first-1 {
		return nil, refuse(ReasonMalformed, "the token does not have three parts")
	}
	s := v.scratch.Get().(*scratch)
	defer v.scratch.Put(s)
	head, ok := decode(s.header[:], token[:first])
	if !ok {
		return nil, refuse(ReasonMalformed, "the header is not base64url, or too long")
	}
	h, err := parseHeader(head)
	if err != nil {
		return nil, err
	}
	sig, ok := decode(s.sig[:], token[last+1:])
	if !ok {
		return nil, refuse(ReasonMalformed, "the signature is not base64url, or too long")
	}
	r := v.rules.Load()
	if err := r.check(h, token[:last], sig, ask); err != nil {
		return nil, err
	}
	payload, ok := decode(s.payload[:], token[first+1:last])
	if !ok {
		return nil, refuse(ReasonMalformed, "the claims are not base64url")
	}
	return r.identify(payload)
}

// decode decodes into dst; false when src is not base64url or does not fit.
func decode(dst []byte, src string) ([]byte, bool) {
	if strict.DecodedLen(len(src)) > len(dst) {
		return nil, false
	}
	n, err := strict.Decode(dst, []byte(src))
	return dst[:n], err == nil
}

// check finds the keys that the header names and says whether one of them made the signature. Ids are
// only looked up in memory; an id that a configured key has is never looked for in the key set.
func (r *rules) check(h header, signed string, sig []byte, ask bool) error {
	keys := r.keys[h.kid]
	if r.set != nil && (len(keys) == 0 || h.kid == "") {
		more, fetched, coming := r.set.lookup(h.kid, ask)
		switch {
		case len(keys) == 0 && !fetched:
			return &Error{Reason: ReasonKey, Detail: "the key set has not been fetched yet", Retry: true}
		case len(keys) == 0 && coming:
			return &Error{Reason: ReasonKey, Detail: "no key has this kid, the key set is being fetched", Retry: true}
		}
		if len(keys) == 0 {
			keys = more
		} else if len(more) > 0 {
			keys = append(keys[:len(keys):len(keys)], more...)
		}
	}
	if len(keys) == 0 {
		return refuse(ReasonKey, "no key has this kid")
	}
	pinned := false
	for _, k := range keys {
		if k.alg != h.alg {
			continue
		}
		pinned = true
		if k.verify(signed, sig) {
			return nil
		}
	}
	if !pinned {
		return refuse(ReasonAlgorithm, "the key is for another algorithm")
	}
	return refuse(ReasonSignature, "")
}

// identify reads the claims of a token that is genuine, and holds them against clock and configuration.
func (r *rules) identify(payload []byte) (*Identity, error) {
	c, err := parseClaims(payload, r.issuer, r.audience)
	if err != nil {
		return nil, err
	}
	now := r.now()
	expires := time.Unix(c.exp, 0).Add(r.leeway)
	switch {
	case !now.Before(expires):
		return nil, refuse(ReasonExpired, "")
	case now.Add(r.leeway).Before(time.Unix(c.nbf, 0)):
		return nil, refuse(ReasonNotYet, "nbf is in the future")
	case r.issuer != "" && !c.issOK:
		return nil, refuse(ReasonIssuer, "")
	case r.audience != "" && !c.audOK:
		return nil, refuse(ReasonAudience, "")
	}
	id := &Identity{User: c.sub, Name: c.name, Avatar: c.avatar, Roles: c.roles, Grants: c.grants, Expires: MomentOf(expires)}
	if c.iat > 0 {
		id.Issued = MomentOf(time.Unix(min(c.iat, r.now().Unix()), 0)) // an issuer whose clock is ahead has no say over the tokens to come
	}
	return id, nil
}
