package auth

import "weir/internal/contain"

// KeySet is a key set for tokens that are checked elsewhere. It is cached and renewed like that of a Verifier.
type KeySet struct{ set *keySet }

// OpenKeySet begins to fetch a key set; Close ends that. Errors: the address is none that may be fetched.
func OpenKeySet(cfg JWKS, hook contain.Hook) (*KeySet, error) {
	cfg, err := cfg.filled()
	if err != nil {
		return nil, err
	}
	return &KeySet{newKeySet(cfg, nil, nil, hook)}, nil
}

// Public returns the public keys of an id, "" of those without one, that are for an algorithm. If the id is not known, or nothing has
// been fetched yet, it waits for a fetch, up to 3 seconds. fetched is false if there are no keys yet.
func (k *KeySet) Public(id, algorithm string) (keys []any, fetched bool) {
	found, fetched, coming := k.set.lookup(id, true)
	if len(found) == 0 && (coming || !fetched) && k.set.await() {
		found, fetched, _ = k.set.lookup(id, false)
	}
	for _, x := range found {
		if x.alg == algorithm {
			keys = append(keys, x.public)
		}
	}
	return keys, fetched
}

// Close ends the fetching, and waits for that.
func (k *KeySet) Close() { k.set.close() }
