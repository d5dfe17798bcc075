package settings

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"weir/internal/keyfile"
	"weir/relay"
	"weir/relay/config"
)

// Bounds of secrets, in bytes.
const (
	minSecret = 32
	maxSecret = 4 << 10
	maxAPIKey = 256
	maxKeys   = 64 // token keys
	maxAPI    = 256
)

// redacted stands for a secret in what Print writes.
const redacted = "<redacted>"

const howToSecret = "at least 32 bytes, e.g. from `openssl rand -hex 32`"

// tokens checks what clients' tokens are verified with.
func (k *check) tokens(c config.Config) {
	a := c.Auth
	if len(a.Keys) == 0 && a.JWKS.URL == "" && !c.Dev {
		k.add("auth.keys", "no secret or key for client tokens is configured: set auth.keys or auth.jwks.url in the file, "+
			"or the variable %s (%s); to try the relay out, use --dev", secretVar, howToSecret)
	}
	if len(a.Keys) > maxKeys {
		k.add("auth.keys", "%d keys: expected at most %d", len(a.Keys), maxKeys)
	}
	for i, t := range a.Keys {
		key := element("auth.keys", i)
		if strings.ContainsAny(t.ID, " \"\\") || len(t.ID) > 128 {
			k.add(join(key, "id"), "%s is not a key id: expected at most 128 characters without spaces, quotes and backslashes", shown(t.ID))
		}
		k.oneOf(join(key, "algorithm"), t.Algorithm, "HS256", "RS256", "ES256", "EdDSA")
		switch {
		case (t.Secret == "") == (t.File == ""):
			k.add(key, "expected exactly one of secret and file")
		case t.Secret != "" && t.Algorithm == "HS256":
			k.secret(join(key, "secret"), []byte(t.Secret), maxSecret)
		case t.Secret != "" && t.Algorithm != "":
			k.add(join(key, "secret"), "goes with HS256 only: expected file, a PEM public key")
		}
	}
	if a.Leeway != nil {
		k.span("auth.leeway", *a.Leeway, 0, time.Minute)
	}
	if strings.Trim(a.Cookie, cookieBytes) != "" {
		k.add("auth.cookie", "%s is not the name of a cookie: expected letters, digits and !#$%%&'*+-.^_`|~", shown(a.Cookie))
	}
	k.span("auth.jwks.refresh", a.JWKS.Refresh, 10*time.Second, 24*time.Hour)
	if a.JWKS.URL != "" {
		k.jwks("auth.jwks.url", a.JWKS)
	}
}

const cookieBytes = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~"

// jwks shows no part of the address, which may hold a password by mistake.
func (k *check) jwks(key string, j config.JWKS) {
	u, err := url.Parse(j.URL)
	switch {
	case err != nil || u.Host == "":
		k.add(key, "not an absolute address: expected one such as https://login.example.com/jwks.json")
	case u.User != nil || u.Fragment != "":
		k.add(key, "holds a user or a fragment: expected an address without")
	case u.Scheme != "https" && (u.Scheme != "http" || !j.AllowInsecure):
		k.add(key, "not an https address: http needs allow_insecure, for tests and service meshes only")
	}
}

// apiKeys checks what backends are known by.
func (k *check) apiKeys(c config.Config) {
	if len(c.API.Keys) == 0 && !c.Dev {
		k.add("api.keys", "no secret or key for backends is configured: set api.keys in the file, or the variable %s (%s); "+
			"to try the relay out, use --dev", apiKeyVar, howToSecret)
	}
	if len(c.API.Keys) > maxAPI {
		k.add("api.keys", "%d keys: expected at most %d", len(c.API.Keys), maxAPI)
	}
	seen := make(map[string]int)
	for i, a := range c.API.Keys {
		key := element("api.keys", i)
		if a.Name == "" || len(a.Name) > 64 || strings.Trim(a.Name, nameBytes) != "" {
			k.add(join(key, "name"), "%s is not a name: expected 1 to 64 letters, digits, dots, dashes and underscores, to show instead of the key", shown(a.Name))
		}
		if (a.Secret == "") == (a.File == "") {
			k.add(key, "expected exactly one of secret and file")
			continue
		}
		if a.Secret == "" {
			continue
		}
		if first, twice := seen[a.Secret]; twice {
			k.add(join(key, "secret"), "the same as that of api.keys[%d]", first)
		}
		seen[a.Secret] = i
		k.apiSecret(join(key, "secret"), []byte(a.Secret))
	}
}

const nameBytes = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

func (k *check) apiSecret(key string, secret []byte) {
	k.secret(key, secret, maxAPIKey)
	for _, b := range secret {
		if b <= ' ' || b > '~' {
			k.add(key, "holds spaces or characters that a header cannot carry: expected printable ASCII")
			return
		}
	}
}

func (k *check) secret(key string, secret []byte, most int) {
	switch {
	case string(secret) == redacted:
		k.add(key, "%s stands for a secret in the output of config print: expected the secret", redacted)
	case len(secret) < minSecret || len(secret) > most:
		k.add(key, "has %d bytes: expected %d to %d, e.g. from `openssl rand -hex 32`", len(secret), minSecret, most)
	case bytes.Contains(secret, []byte("-----BEGIN ")):
		k.add(key, "is a PEM file: expected random bytes")
	}
}

// CheckFiles reads the files that a configuration names and says what is wrong with them. Paths are
// relative to the working directory.
func CheckFiles(c config.Config) []Problem {
	problems, _ := readFiles(c)
	return problems
}

// Notes says what is odd about a configuration that is good: what was left out of the files that it names.
func Notes(c config.Config) []string {
	_, notes := readFiles(c)
	return notes
}

func readFiles(c config.Config) ([]Problem, []string) {
	k := &check{}
	if c.TLS.Cert != "" && c.TLS.Key != "" {
		_, certOK := k.file("tls.cert", c.TLS.Cert)
		_, keyOK := k.file("tls.key", c.TLS.Key)
		if certOK && keyOK {
			if _, err := relay.LoadCertificate(c.TLS.Cert, c.TLS.Key); err != nil {
				k.add("tls", "expected a certificate and its key in PEM: %s", oneLine(err.Error()))
			}
		}
	}
	for i, t := range c.Auth.Keys {
		key := join(element("auth.keys", i), "file")
		data, ok := k.file(key, t.File)
		switch {
		case !ok:
		case t.Algorithm == "HS256":
			k.secret(key, data, maxSecret)
		case bytes.Contains(data, []byte("PRIVATE KEY-----")):
			k.add(key, "%s holds a private key: expected the public one, which is all that a relay needs", shown(t.File))
		case !bytes.Contains(data, []byte("-----BEGIN ")):
			k.add(key, "%s is not in PEM: expected a public key that begins with -----BEGIN", shown(t.File))
		}
	}
	for i, a := range c.API.Keys {
		key := join(element("api.keys", i), "file")
		if data, ok := k.file(key, a.File); ok {
			k.apiSecret(key, data)
		}
	}
	k.notifyFiles(c.Notify)
	return k.problems, k.notes
}

// file reads a small file, without what package keyfile leaves out; not ok if there is none to read.
func (k *check) file(key, name string) ([]byte, bool) {
	if name == "" {
		return nil, false
	}
	data, err := readSmall(name)
	left := ""
	if err == nil {
		data, left, err = keyfile.Trim(data)
	}
	if err != nil {
		k.add(key, "%s: %s", shown(name), reason(err))
		return nil, false
	}
	whole := bytes.Contains(data, []byte("-----BEGIN ")) || bytes.HasPrefix(data, []byte("{")) // to whom line ends mean nothing
	if left != "" && !(whole && !strings.Contains(left, "byte order mark")) {
		k.notes = append(k.notes, key+": "+shown(name)+" has "+left+", which is left out")
	}
	return data, true
}

// readSmall refuses what is not a regular file, so that a pipe nobody writes to holds up no start.
func readSmall(name string) ([]byte, error) {
	const most = 64 << 10
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	if info.Size() > most {
		return nil, fmt.Errorf("larger than %d KiB", most>>10)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return io.ReadAll(io.LimitReader(f, most))
}
