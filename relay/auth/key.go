package auth

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"sync"

	"github.com/golang-jwt/jwt/v5"

	"weir/internal/keyfile"
)

// The algorithms. A key is used with one of them and no other.
const (
	hs256 = "HS256"
	rs256 = "RS256"
	es256 = "ES256"
	eddsa = "EdDSA"
)

// algorithm returns the constant that name spells, exactly, and "" for all other names.
func algorithm(name string) string {
	for _, known := range [...]string{hs256, rs256, es256, eddsa} {
		if name == known {
			return known // not name, which aliases the token
		}
	}
	return ""
}

const (
	// minSecret is the shortest HS256 secret, in bytes: the length of the hash.
	minSecret = 32

	minRSABits  = 2048
	maxRSABits  = 8192 // larger ones make verifying a token expensive
	maxKeyFile  = 64 << 10
	maxSecret   = 4 << 10
	pemBoundary = "-----BEGIN "
)

// key verifies the signatures of one algorithm. Set once, never written; macs is safe for concurrent use.
type key struct {
	alg    string
	public any        // for the three asymmetric algorithms
	macs   *sync.Pool // of *mac, for HS256
}

// mac is a keyed hash with room for its input and result. A new one costs 1 µs and eight allocations
// for each token; a used one is reset to its keyed state for nothing.
type mac struct {
	hash.Hash
	text []byte
	sum  [sha256.Size]byte
}

// verify reports whether signature is that of signed.
func (k *key) verify(signed string, signature []byte) bool {
	switch k.alg {
	case hs256:
		m := k.macs.Get().(*mac)
		defer k.macs.Put(m)
		m.Reset()
		m.text = append(m.text[:0], signed...)
		m.Write(m.text)
		return hmac.Equal(signature, m.Sum(m.sum[:0]))
	case rs256:
		return jwt.SigningMethodRS256.Verify(signed, signature, k.public) == nil
	case es256:
		return jwt.SigningMethodES256.Verify(signed, signature, k.public) == nil
	case eddsa:
		return jwt.SigningMethodEdDSA.Verify(signed, signature, k.public) == nil
	}
	return false
}

// newKey reads and checks one key of the configuration.
func newKey(t TokenKey) (*key, error) {
	alg := algorithm(t.Algorithm)
	switch {
	case alg == "":
		return nil, fmt.Errorf("algorithm %.32q: expected HS256, RS256, ES256 or EdDSA", t.Algorithm)
	case t.ID != "" && !ValidKeyID(t.ID):
		return nil, errors.New("id: expected " + KeyIDs)
	case (t.Secret == "") == (t.File == ""):
		return nil, errors.New("expected exactly one of secret and file")
	case alg != hs256 && t.Secret != "":
		return nil, fmt.Errorf("%s takes file (a PEM public key), not secret", alg)
	}
	data := []byte(t.Secret)
	if t.File != "" {
		var err error
		if data, err = readFile(t.File); err != nil {
			return nil, err
		}
	}
	if alg == hs256 {
		return newSecret(data)
	}
	return parsePublic(alg, data)
}

// CheckPublicKey returns what is wrong with the PEM file of a key for an algorithm other than HS256.
func CheckPublicKey(algorithm string, data []byte) error {
	_, err := parsePublic(algorithm, data)
	return err
}

func parsePublic(alg string, data []byte) (*key, error) {
	public, err := parsePEM(data)
	if err != nil {
		return nil, err
	}
	return newPublic(alg, public)
}

func newSecret(secret []byte) (*key, error) {
	switch {
	case len(secret) < minSecret:
		return nil, fmt.Errorf("the secret has %d bytes: HS256 needs at least %d", len(secret), minSecret)
	case len(secret) > maxSecret:
		return nil, fmt.Errorf("the secret has %d bytes: expected at most %d", len(secret), maxSecret)
	case bytes.Contains(secret, []byte(pemBoundary)):
		// A public key is no secret: everybody who has it could sign.
		return nil, errors.New("the secret is a PEM file: expected random bytes")
	}
	return &key{alg: hs256, macs: &sync.Pool{New: func() any {
		return &mac{Hash: hmac.New(sha256.New, secret)}
	}}}, nil
}

// newPublic pairs a public key with its algorithm.
func newPublic(alg string, public any) (*key, error) {
	var err error
	switch p := public.(type) {
	case *rsa.PublicKey:
		err = checkRSA(p)
		if alg != rs256 {
			err = errors.New("an RSA key")
		}
	case *ecdsa.PublicKey:
		if alg != es256 {
			err = errors.New("an EC key")
		} else if p.Curve != elliptic.P256() {
			err = errors.New("an EC key that is not on P-256")
		}
	case ed25519.PublicKey:
		if alg != eddsa {
			err = errors.New("an Ed25519 key")
		}
	default:
		err = errors.New("a key of another kind")
	}
	if err != nil {
		return nil, fmt.Errorf("%s does not go with %w", alg, err)
	}
	return &key{alg: alg, public: public}, nil
}

func checkRSA(p *rsa.PublicKey) error {
	switch bits := p.N.BitLen(); {
	case bits < minRSABits || bits > maxRSABits:
		return fmt.Errorf("an RSA key of %d bits: expected %d to %d", bits, minRSABits, maxRSABits)
	case p.E < 3 || p.E%2 == 0 || p.N.Bit(0) == 0:
		return errors.New("an RSA key that is not valid")
	}
	return nil
}

// readFile reads a small file, without what package keyfile leaves out.
func readFile(name string) ([]byte, error) {
	data, _, err := keyfile.Read(name, maxKeyFile)
	return data, err
}
