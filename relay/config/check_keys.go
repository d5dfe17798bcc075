package config

import (
	"bytes"
	"errors"
	"io/fs"
	"strings"

	"weir/internal/keyfile"
	"weir/relay/auth"
)

// Bounds of secrets, in bytes.
const (
	minSecret = 32
	maxSecret = 4 << 10
	maxAPIKey = 256
	maxKeys   = 64 // token keys
	maxAPI    = 256
)

// Redacted stands for a secret where a configuration is printed.
const Redacted = "<redacted>"

// WithoutUser is an address, with Redacted in the place of the name and the password that it may hold.
func WithoutUser(address string) string {
	scheme, rest, ok := strings.Cut(address, "://")
	at := strings.LastIndexByte(rest, '@')
	if !ok || at < 0 {
		return address
	}
	return scheme + "://" + Redacted + rest[at:]
}

// The variables that hold one key each.
const (
	SecretVar = "WEIR_AUTH_SECRET" // adds one HS256 key for client tokens
	APIKeyVar = "WEIR_API_KEY"     // adds one API key
)

// howToSecret says what a secret is made of.
const howToSecret = "at least 32 bytes, e.g. from `openssl rand -hex 32`"

// required checks that there is a key for clients and one for backends.
func (k *Checks) required(c Config) {
	if len(c.Auth.Keys) == 0 && c.Auth.JWKS.URL == "" && !c.Dev && !c.identified() {
		k.Add("auth.keys", "no secret or key for client tokens is configured: set auth.keys or auth.jwks.url in the file, "+
			"or the variable %s (%s); to try the relay out, use --dev", SecretVar, howToSecret)
	}
	if len(c.API.Keys) == 0 && !c.Dev {
		k.Add("api.keys", "no secret or key for backends is configured: set api.keys in the file, or the variable %s (%s); "+
			"to try the relay out, use --dev", APIKeyVar, howToSecret)
	}
}

// tokens checks what clients' tokens are verified with.
func (k *Checks) tokens(c Config) {
	a := c.Auth
	if len(a.Keys) > maxKeys {
		k.Add("auth.keys", "%d keys: expected at most %d", len(a.Keys), maxKeys)
	}
	for i, t := range a.Keys {
		key := Element("auth.keys", i)
		if t.ID != "" && !auth.ValidKeyID(t.ID) {
			k.Add(Join(key, "id"), "%s is not a key id: expected %s", Quote(t.ID), auth.KeyIDs)
		}
		switch {
		case (t.Secret == "") == (t.File == ""):
			k.Add(key, "expected exactly one of secret and file")
		case t.Secret != "" && t.Algorithm == "HS256":
			k.secret(Join(key, "secret"), []byte(t.Secret), maxSecret)
		case t.Secret != "" && t.Algorithm != "":
			k.Add(Join(key, "secret"), "goes with HS256 only: expected file, a PEM public key")
		}
	}
	if strings.Trim(a.Cookie, cookieBytes) != "" {
		k.Add("auth.cookie", "%s is not the name of a cookie: expected letters, digits and !#$%%&'*+-.^_`|~", Quote(a.Cookie))
	}
	if a.JWKS.URL != "" {
		k.Address("auth.jwks.url", a.JWKS.URL, a.JWKS.AllowInsecure)
	}
}

const cookieBytes = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~"

// apiKeys checks what backends are known by.
func (k *Checks) apiKeys(c Config) {
	if len(c.API.Keys) > maxAPI {
		k.Add("api.keys", "%d keys: expected at most %d", len(c.API.Keys), maxAPI)
	}
	seen := make(map[string]int)
	for i, a := range c.API.Keys {
		key := Element("api.keys", i)
		k.Label(Join(key, "name"), a.Name)
		if (a.Secret == "") == (a.File == "") {
			k.Add(key, "expected exactly one of secret and file")
			continue
		}
		if a.Secret == "" {
			continue
		}
		if first, twice := seen[a.Secret]; twice {
			k.Add(Join(key, "secret"), "the same as that of api.keys[%d]", first)
		}
		seen[a.Secret] = i
		k.apiSecret(Join(key, "secret"), []byte(a.Secret))
	}
}

func (k *Checks) apiSecret(key string, secret []byte) {
	k.secret(key, secret, maxAPIKey)
	for _, b := range secret {
		if b <= ' ' || b > '~' {
			k.Add(key, "holds spaces or characters that a header cannot carry: expected printable ASCII")
			return
		}
	}
}

func (k *Checks) secret(key string, secret []byte, most int) {
	switch {
	case string(secret) == Redacted:
		k.Add(key, "%s stands for a secret in the output of config print: expected the secret", Redacted)
	case len(secret) < minSecret || len(secret) > most:
		k.Add(key, "has %d bytes: expected %d to %d, e.g. from `openssl rand -hex 32`", len(secret), minSecret, most)
	case bytes.Contains(secret, []byte("-----BEGIN ")):
		k.Add(key, "is a PEM file: expected random bytes")
	}
}

// files reads the files that a configuration names.
func (k *Checks) files(c Config) {
	if c.TLS.Cert != "" && c.TLS.Key != "" {
		_, certOK := k.File("tls.cert", c.TLS.Cert)
		_, keyOK := k.File("tls.key", c.TLS.Key)
		if certOK && keyOK {
			if _, err := keyfile.Certificate(c.TLS.Cert, c.TLS.Key); err != nil {
				k.Add("tls", "expected a certificate and its key in PEM: %s", strings.Trim(Quote(err.Error()), `"`))
			}
		}
	}
	for i, t := range c.Auth.Keys {
		key := Join(Element("auth.keys", i), "file")
		data, ok := k.File(key, t.File)
		switch {
		case !ok:
		case t.Algorithm == "HS256":
			k.secret(key, data, maxSecret)
		case t.Algorithm == "RS256", t.Algorithm == "ES256", t.Algorithm == "EdDSA":
			if err := auth.CheckPublicKey(t.Algorithm, data); err != nil {
				k.Add(key, "%s: %s", Quote(t.File), err)
			}
		}
	}
	for i, a := range c.API.Keys {
		key := Join(Element("api.keys", i), "file")
		if data, ok := k.File(key, a.File); ok {
			k.apiSecret(key, data)
		}
	}
}

// File reads a small file, without what package keyfile leaves out; not ok if there is none to read.
func (k *Checks) File(key, name string) ([]byte, bool) {
	if name == "" {
		return nil, false
	}
	data, left, err := keyfile.Read(name, 64<<10)
	if err != nil {
		k.Add(key, "%s: %s", Quote(name), Reason(err))
		return nil, false
	}
	whole := bytes.Contains(data, []byte("-----BEGIN ")) || bytes.HasPrefix(data, []byte("{")) // to whom line ends mean nothing
	if left != "" && !(whole && !strings.Contains(left, "byte order mark")) {
		k.Notes = append(k.Notes, key+": "+Quote(name)+" has "+left+", which is left out")
	}
	return data, true
}

// Reason is a file error without the name, which the place of a problem says already.
func Reason(err error) error {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		return path.Err
	}
	return err
}
