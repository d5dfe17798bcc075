package protocol

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

// Signer makes signatures with the secret of a key.
type Signer struct {
	key  string
	macs sync.Pool // of *mac
}

// mac is what one signature is made with.
type mac struct {
	hash.Hash
	text []byte
	sum  [sha256.Size]byte
}

// NewSigner makes a signer of a key and its secret.
func NewSigner(key, secret string) *Signer {
	s := &Signer{key: key}
	s.macs.New = func() any { return &mac{Hash: hmac.New(sha256.New, []byte(secret))} }
	return s
}

// sign calls f with the signature of the parts, one behind the other.
func (s *Signer) sign(f func(signature []byte), parts ...string) {
	m := s.macs.Get().(*mac)
	defer s.macs.Put(m)
	m.Reset()
	for _, p := range parts {
		m.text = append(m.text[:0], p...)
		_, _ = m.Write(m.text)
	}
	f(m.Sum(m.sum[:0]))
}

// HexSign is the signature of the parts in lower-case hexadecimal digits.
func (s *Signer) HexSign(parts ...string) (out string) {
	s.sign(func(signature []byte) { out = hex.EncodeToString(signature) }, parts...)
	return out
}

// Verify reports whether a signature, in hexadecimal digits of lower case, is that of the parts. It takes the same time for all
// signatures of the right length.
func (s *Signer) Verify(signature string, parts ...string) (ok bool) {
	var got [sha256.Size]byte
	if len(signature) != hex.EncodedLen(len(got)) || strings.ToLower(signature) != signature {
		return false
	}
	if _, err := hex.Decode(got[:], []byte(signature)); err != nil {
		return false
	}
	s.sign(func(signature []byte) { ok = hmac.Equal(got[:], signature) }, parts...)
	return ok
}

// maxSkew is how far the clock of a backend may be off.
const maxSkew = 600 * time.Second

// The errors of a request that is not signed as it should be.
var (
	errNoKey     = errors.New("auth_key is not a key of this app")
	errTimestamp = errors.New("auth_timestamp is missing or more than 600 seconds from the relay's clock: compare the clocks")
	errVersion   = errors.New("auth_version must be 1.0")
	errBody      = errors.New("body_md5 is not the MD5 of the body")
	errSignature = errors.New("auth_signature does not match the request: check the secret, and that no proxy changes the address")
)

// Parameters are those of a query, as they are signed, sorted by name once they are all there.
type Parameters []parameter

type parameter struct{ name, value string }

// maxParameters bounds those of one query.
const maxParameters = 64

// Get is a parameter; "" if it is not there.
func (p Parameters) Get(name string) string {
	if i := p.index(name); i >= 0 {
		return p[i].value
	}
	return ""
}

func (p Parameters) index(name string) int {
	return slices.IndexFunc(p, func(x parameter) bool { return x.name == name })
}

// ParseQuery reads a raw query into p, which is empty. Names become lower case; those that end in brackets are one list, whose values are
// joined by commas.
func ParseQuery(p Parameters, raw string) (Parameters, error) {
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.PathUnescape(name) // a plus is a plus
		if err != nil {
			return p, err
		}
		if value, err = url.PathUnescape(value); err != nil {
			return p, err
		}
		name = strings.ToLower(name)
		list := false
		if i := strings.IndexByte(name, '['); i > 0 && strings.HasSuffix(name, "]") {
			name, list = name[:i], true
		}
		switch at := p.index(name); {
		case at >= 0 && list:
			p[at].value += "," + value
		case at >= 0:
			return p, errors.New("the parameter " + name + " is given twice")
		case len(p) == maxParameters:
			return p, errors.New("there are more than 64 parameters")
		default:
			p = append(p, parameter{name, value})
		}
	}
	slices.SortFunc(p, func(a, b parameter) int { return strings.Compare(a.name, b.name) })
	return p, nil
}

// VerifyRequest checks the signature of a request, whose parameters p are, by one of the signers. path is from "/apps/" on, as it came: what SDKs have signed is that, or what it was
// before their HTTP library escaped it.
func (p Parameters) VerifyRequest(signers map[string]*Signer, method, path string, body []byte, now time.Time) error {
	s := signers[p.Get("auth_key")]
	if s == nil {
		return errNoKey
	}
	if p.Get("auth_version") != "1.0" {
		return errVersion
	}
	at, err := strconv.ParseInt(p.Get("auth_timestamp"), 10, 64)
	if skew := now.Unix() - at; err != nil || skew > int64(maxSkew/time.Second) || skew < -int64(maxSkew/time.Second) {
		return errTimestamp
	}
	if at := p.index("body_md5"); at >= 0 || len(body) > 0 {
		var digits [2 * md5.Size]byte
		digest := md5.Sum(body) //nolint:gosec // see above
		hex.Encode(digits[:], digest[:])
		if at < 0 || p[at].value != string(digits[:]) {
			return errBody
		}
	}
	signature, query := p.Get("auth_signature"), signedQuery(p)
	if s.Verify(signature, method, "\n", path, "\n", query) {
		return nil
	}
	if plain, err := url.PathUnescape(path); err == nil && plain != path && s.Verify(signature, method, "\n", plain, "\n", query) {
		return nil
	}
	return errSignature
}

// signedQuery is what of a query is signed.
func signedQuery(p Parameters) string {
	var b strings.Builder
	b.Grow(192)
	for _, x := range p {
		if x.name == "auth_signature" {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('&')
		}
		b.WriteString(x.name)
		b.WriteByte('=')
		b.WriteString(x.value)
	}
	return b.String()
}
