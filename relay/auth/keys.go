package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
)

const (
	// minAPIKey and maxAPIKey bound the key of a backend, in bytes.
	minAPIKey = 16
	maxAPIKey = 256

	maxAPIKeys = 256
)

// APIConfig names the backends. An empty list lets no backend in.
type APIConfig struct {
	Keys []APIKey // at most 256
	// Dev admits keys shorter than minAPIKey, such as the published one of development mode.
	Dev bool
}

// APIKey is one backend's key. Exactly one of Secret and File is set.
type APIKey struct {
	Name   string `yaml:"name"`   // shown in logs and metrics instead of the key: 1 to 64 of A-Z a-z 0-9 _ . -. May repeat while a key is being replaced
	Secret string `yaml:"secret"` // minAPIKey to maxAPIKey bytes
	File   string `yaml:"file"`   // holds the secret; a newline at its end is ignored
}

// Keys knows the API keys of backends.
type Keys struct {
	// Set once by NewKeys. Random, and never shown: digests say nothing about keys to who sees timings.
	salt [sha256.Size]byte

	// Atomic.
	list atomic.Pointer[[]apiKey]
}

type apiKey struct {
	name   string
	digest [sha256.Size]byte
}

// NewKeys reads the files that cfg names.
func NewKeys(cfg APIConfig) (*Keys, error) {
	k := new(Keys)
	_, _ = rand.Read(k.salt[:]) // ends the process rather than failing
	if err := k.Reload(cfg); err != nil {
		return nil, err
	}
	return k, nil
}

// Reload puts cfg in force from one Lookup to the next. On an error nothing changes.
func (k *Keys) Reload(cfg APIConfig) error {
	if len(cfg.Keys) > maxAPIKeys {
		return fmt.Errorf("configure api keys: %d keys: expected at most %d", len(cfg.Keys), maxAPIKeys)
	}
	list := make([]apiKey, 0, len(cfg.Keys))
	seen := make(map[[sha256.Size]byte]bool, len(cfg.Keys))
	for i, a := range cfg.Keys {
		secret, err := a.read(cfg.Dev)
		if err != nil {
			return fmt.Errorf("configure api key %d (name %.64q): %w", i+1, a.Name, err)
		}
		digest := k.digest(secret)
		if seen[digest] {
			return fmt.Errorf("configure api key %d (name %.64q): the same key is listed before", i+1, a.Name)
		}
		seen[digest] = true
		list = append(list, apiKey{a.Name, digest})
	}
	k.list.Store(&list)
	return nil
}

func (a APIKey) read(dev bool) ([]byte, error) {
	if !ValidName(a.Name) {
		return nil, errors.New("name: expected 1 to 64 letters, digits, _ . and -")
	}
	if (a.Secret == "") == (a.File == "") {
		return nil, errors.New("expected exactly one of secret and file")
	}
	secret := []byte(a.Secret)
	if a.File != "" {
		var err error
		if secret, err = readFile(a.File); err != nil {
			return nil, err
		}
	}
	if len(secret) > maxAPIKey || len(secret) == 0 || (len(secret) < minAPIKey && !dev) {
		return nil, fmt.Errorf("the key has %d bytes: expected %d to %d", len(secret), minAPIKey, maxAPIKey)
	}
	for _, b := range secret {
		if b <= ' ' || b > '~' { // what a header can carry unchanged
			return nil, errors.New("the key holds spaces or characters other than printable ASCII")
		}
	}
	return secret, nil
}

// ValidName reports whether a name can be shown in logs and metrics: 1 to 64 of A-Z a-z 0-9 _ . -.
func ValidName(name string) bool {
	return name != "" && len(name) <= 64 && strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == ""
}

// lookup returns the name of the backend whose key this is. It allocates nothing, compares digests of
// one length in constant time, and always goes through the whole list: the time it takes says nothing
// about which key was close, or found.
func (k *Keys) lookup(key []byte) (name string, ok bool) {
	if len(key) == 0 || len(key) > maxAPIKey {
		return "", false
	}
	digest := k.digest(key)
	list := *k.list.Load()
	found := -1
	for i := range list {
		same := subtle.ConstantTimeCompare(digest[:], list[i].digest[:])
		found = subtle.ConstantTimeSelect(same, i, found)
	}
	if found < 0 {
		return "", false
	}
	return list[found].name, true
}

// Memo remembers the key that one connection has shown. It belongs to who serves that connection.
type Memo struct {
	key  []byte
	list *[]apiKey // of which the key was one
}

// Known reports whether this is the key of a backend. A key that the memo remembers is compared with that, in
// constant time, instead of being looked up; one that is found is remembered. A reload forgets it.
func (k *Keys) Known(key []byte, m *Memo) bool {
	if m.list != nil && m.list == k.list.Load() && subtle.ConstantTimeCompare(m.key, key) == 1 {
		return true
	}
	list := k.list.Load() // before the look-up: a reload in between makes the memo worthless, not wrong
	_, ok := k.lookup(key)
	if ok {
		m.key, m.list = append(m.key[:0], key...), list
	}
	return ok
}

// digest hashes a key of at most maxAPIKey bytes behind the salt. It stays in this process, so the
// plain construction serves as well as HMAC would, without allocating.
func (k *Keys) digest(key []byte) [sha256.Size]byte {
	var buf [sha256.Size + maxAPIKey]byte
	copy(buf[:], k.salt[:])
	n := copy(buf[sha256.Size:], key)
	return sha256.Sum256(buf[:sha256.Size+n])
}
