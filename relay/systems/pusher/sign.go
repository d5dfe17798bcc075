package pusher

import (
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // the protocol asks for it; what is signed rests on HMAC-SHA256
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// signer makes signatures with the secret of a key.
type signer struct {
	key  string
	macs sync.Pool // of hash.Hash
}

func newSigner(k Key) *signer {
	s := &signer{key: k.Key}
	secret := []byte(k.Secret)
	s.macs.New = func() any { return hmac.New(sha256.New, secret) }
	return s
}

// sign returns the signature of the parts, one behind the other.
func (s *signer) sign(parts ...string) []byte {
	mac := s.macs.Get().(hash.Hash)
	defer s.macs.Put(mac)
	mac.Reset()
	for _, p := range parts {
		_, _ = mac.Write([]byte(p))
	}
	return mac.Sum(make([]byte, 0, sha256.Size))
}

// hexSign is sign in lower-case hexadecimal digits.
func (s *signer) hexSign(parts ...string) string { return hex.EncodeToString(s.sign(parts...)) }

// verify reports whether a signature, in hexadecimal digits of lower case, is that of the parts. It takes the same time for all
// signatures of the right length.
func (s *signer) verify(signature string, parts ...string) bool {
	var got [sha256.Size]byte
	if len(signature) != hex.EncodedLen(len(got)) || strings.ToLower(signature) != signature {
		return false
	}
	if _, err := hex.Decode(got[:], []byte(signature)); err != nil {
		return false
	}
	return hmac.Equal(got[:], s.sign(parts...))
}

// maxSkew is how far the clock of a backend may be off.
const maxSkew = 600 * time.Second

// The errors of a request that is not signed as it should be.
var (
	errNoKey     = errors.New("auth_key is not a key of this app")
	errTimestamp = errors.New("auth_timestamp is missing or more than 600 seconds from the clock here: compare the clocks")
	errVersion   = errors.New("auth_version must be 1.0")
	errBody      = errors.New("body_md5 is not the MD5 of the body")
	errSignature = errors.New("auth_signature is not that of the request: check the secret, and that nothing between changes the address")
)

// parameters are those of a query by name, as they are signed.
type parameters map[string]string

// get is a parameter; "" if it is not there.
func (p parameters) get(name string) string { return p[name] }

// parseQuery reads a raw query. Names become lower case; those that end in brackets are one list, whose values are joined by commas.
func parseQuery(raw string) (parameters, error) {
	p := make(parameters, 8)
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.PathUnescape(name) // a plus is a plus
		if err != nil {
			return nil, err
		}
		if value, err = url.PathUnescape(value); err != nil {
			return nil, err
		}
		name = strings.ToLower(name)
		list := false
		if i := strings.IndexByte(name, '['); i > 0 && strings.HasSuffix(name, "]") {
			name, list = name[:i], true
		}
		if have, twice := p[name]; twice {
			if !list {
				return nil, errors.New("the parameter " + name + " stands there twice")
			}
			value = have + "," + value
		}
		p[name] = value
	}
	return p, nil
}

// verifyRequest checks the signature of a request. path is from "/apps/" on, as it came: what SDKs have signed is that, or what it was
// before their HTTP library escaped it.
func (a *app) verifyRequest(method, path string, p parameters, body []byte, now time.Time) error {
	s := a.settings.Load().signers[p.get("auth_key")]
	if s == nil {
		return errNoKey
	}
	if p.get("auth_version") != "1.0" {
		return errVersion
	}
	at, err := strconv.ParseInt(p.get("auth_timestamp"), 10, 64)
	if skew := now.Unix() - at; err != nil || skew > int64(maxSkew/time.Second) || skew < -int64(maxSkew/time.Second) {
		return errTimestamp
	}
	if sum, ok := p["body_md5"]; ok || len(body) > 0 {
		digest := md5.Sum(body) //nolint:gosec // see above
		if sum != hex.EncodeToString(digest[:]) {
			return errBody
		}
	}
	signature, query := p.get("auth_signature"), signedQuery(p)
	if s.verify(signature, method, "\n", path, "\n", query) {
		return nil
	}
	if plain, err := url.PathUnescape(path); err == nil && plain != path && s.verify(signature, method, "\n", plain, "\n", query) {
		return nil
	}
	return errSignature
}

// signedQuery is what of a query is signed.
func signedQuery(p parameters) string {
	var names [16]string
	list := names[:0]
	for name := range p {
		if name != "auth_signature" {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	b := make([]byte, 0, 192)
	for i, name := range list {
		if i > 0 {
			b = append(b, '&')
		}
		b = append(append(append(b, name...), '='), p[name]...)
	}
	return string(b)
}
