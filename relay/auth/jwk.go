package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"slices"
)

// maxSetKeys bounds the keys that are taken from a key set.
const maxSetKeys = 256

// jwk is one entry of a key set. Private parts, certificates and addresses in it are not even read.
type jwk struct {
	Type  string   `json:"kty"`
	ID    string   `json:"kid"`
	Use   string   `json:"use"`
	Ops   []string `json:"key_ops"`
	Alg   string   `json:"alg"`
	Curve string   `json:"crv"`
	N     string   `json:"n"`
	E     string   `json:"e"`
	X     string   `json:"x"`
	Y     string   `json:"y"`
}

// keysByID holds the keys of each id. Those without one are under "".
type keysByID map[string][]*key

// parseKeySet reads RFC 7517. Each entry stands alone: what is not a sound public key for one of our
// algorithms is passed over, so that a provider may publish others beside it. A set without any usable
// key is an error, since it is more likely a fault than the wish to lock everybody out.
func parseKeySet(data []byte) (keysByID, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(data, &set); err != nil {
		return nil, errors.New("the response is not a JSON Web Key Set")
	}
	if len(set.Keys) > maxSetKeys {
		return nil, errors.New("the key set has too many keys")
	}
	keys := make(keysByID)
	for _, raw := range set.Keys {
		var j jwk
		if json.Unmarshal(raw, &j) != nil || (j.ID != "" && !ValidKeyID(j.ID)) {
			continue
		}
		if k := j.key(); k != nil {
			keys[j.ID] = append(keys[j.ID], k)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("the key set holds no usable key")
	}
	return keys, nil
}

// key returns nil for a key that is not for verifying signatures, or not with an algorithm of ours.
func (j *jwk) key() *key {
	if j.Use != "" && j.Use != "sig" {
		return nil
	}
	if j.Ops != nil && !slices.Contains(j.Ops, "verify") {
		return nil
	}
	var public any
	var alg string
	switch {
	case j.Type == "RSA":
		alg, public = rs256, j.rsa()
	case j.Type == "EC" && j.Curve == "P-256":
		alg, public = es256, j.ec()
	case j.Type == "OKP" && j.Curve == "Ed25519":
		alg, public = eddsa, j.ed25519()
	default: // symmetric keys ("oct") among them
		return nil
	}
	// RFC 9864 names EdDSA by its curve.
	if j.Alg != "" && j.Alg != alg && (alg != eddsa || j.Alg != "Ed25519") {
		return nil
	}
	k, err := newPublic(alg, public)
	if err != nil {
		return nil
	}
	return k
}

// rsa, ec and ed25519 return an untyped nil for a key that is not well formed; newPublic refuses it.
func (j *jwk) rsa() any {
	n, e := octets(j.N), octets(j.E)
	if len(n) > maxRSABits/8+1 || len(e) == 0 || len(e) > 4 || (len(e) == 4 && e[0] > 0x7f) {
		return nil
	}
	exponent := 0
	for _, b := range e {
		exponent = exponent<<8 | int(b)
	}
	return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: exponent}
}

func (j *jwk) ec() any {
	x, y := octets(j.X), octets(j.Y)
	if len(x) != 32 || len(y) != 32 {
		return nil
	}
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, x, y))
	if err != nil { // not on the curve
		return nil
	}
	return public
}

func (j *jwk) ed25519() any {
	x := octets(j.X)
	if len(x) != ed25519.PublicKeySize {
		return nil
	}
	return ed25519.PublicKey(x)
}

// octets decodes base64url without padding; nil when it is not that.
func octets(s string) []byte {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return nil
	}
	return b
}
