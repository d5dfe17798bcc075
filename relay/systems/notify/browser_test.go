package notify

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"weir/relay/relaytest"
)

// browser is what holds the keys of a subscription, and can read what is meant for it.
type browser struct {
	key  *ecdh.PrivateKey
	auth []byte
}

func newBrowser(t testing.TB) *browser {
	t.Helper()
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	b := &browser{key, make([]byte, 16)}
	_, _ = rand.Read(b.auth)
	return b
}

var b64 = base64.RawURLEncoding.EncodeToString

func (b *browser) keys() map[string]string {
	return map[string]string{"p256dh": b64(b.key.PublicKey().Bytes()), "auth": b64(b.auth)}
}

// decrypt reads a message as RFC 8291 and RFC 8188 have it, written from those: one record, aes128gcm.
func (b *browser) decrypt(body []byte) ([]byte, error) {
	if len(body) < 21 || len(body) > 4096 {
		return nil, fmt.Errorf("%d bytes", len(body))
	}
	salt, size, n := body[:16], binary.BigEndian.Uint32(body[16:20]), int(body[20])
	if n != 65 || len(body) < 21+n || int(size) < len(body)-21-n {
		return nil, errors.New("no header of one record")
	}
	public, text := body[21:21+n], body[21+n:]
	sender, err := ecdh.P256().NewPublicKey(public)
	if err != nil {
		return nil, err
	}
	shared, err := b.key.ECDH(sender)
	if err != nil {
		return nil, err
	}
	derive := func(secret, salt []byte, info string, length int) []byte {
		out, err := hkdf.Key(sha256.New, secret, salt, info, length)
		if err != nil {
			panic(err)
		}
		return out
	}
	ikm := derive(shared, b.auth, "WebPush: info\x00"+string(b.key.PublicKey().Bytes())+string(public), 32)
	block, err := aes.NewCipher(derive(ikm, salt, "Content-Encoding: aes128gcm\x00", 16))
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	plain, err := gcm.Open(nil, derive(ikm, salt, "Content-Encoding: nonce\x00", 12), text, nil)
	if err != nil {
		return nil, err
	}
	plain = bytes.TrimRight(plain, "\x00")
	if len(plain) == 0 || plain[len(plain)-1] != 2 {
		return nil, errors.New("the last record does not end in its delimiter")
	}
	return plain[:len(plain)-1], nil
}

// message is what a device was sent.
type message struct {
	to     string // the last part of the path
	body   string // decrypted
	header http.Header
}

// service is a fake push service. Each device has answers of its own, by the last part of its path; the last of
// them stays. Without any it is answered as the service does when all is well.
type service struct {
	*httptest.Server
	t        testing.TB
	messages chan message

	mu       sync.Mutex
	script   map[string][]http.HandlerFunc
	browsers map[string]*browser
	verify   func(r *http.Request, body []byte) (string, error) // answers the text that is meant
	fine     int                                                // the status when all is well
	release  chan struct{}                                      // lets what hangs end
}

func newService(t testing.TB, start func(http.Handler) *httptest.Server) *service {
	s := &service{t: t, messages: make(chan message, 10000), script: make(map[string][]http.HandlerFunc), browsers: make(map[string]*browser), fine: 200, release: make(chan struct{})}
	s.verify = func(_ *http.Request, body []byte) (string, error) { return string(body), nil }
	s.Server = start(s)
	t.Cleanup(s.Close)
	t.Cleanup(func() { close(s.release) })
	return s
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Error(err)
	}
	name := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	s.mu.Lock()
	list, verify := s.script[name], s.verify
	if len(list) > 1 {
		s.script[name] = list[1:]
	}
	s.mu.Unlock()
	text, err := verify(r, body)
	if err != nil {
		s.t.Errorf("%s: %v", name, err)
	}
	s.messages <- message{name, text, r.Header}
	if len(list) > 0 {
		list[0](w, r)
		return
	}
	w.WriteHeader(s.fine)
}

// plays lets a device answer so.
func (s *service) plays(name string, answers ...http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script[name] = answers
}

func (s *service) next() message {
	s.t.Helper()
	select {
	case m := <-s.messages:
		return m
	case <-time.After(relaytest.Patience):
		s.t.Fatal("nothing came")
		return message{}
	}
}

// status answers a status and header lines.
func status(code int, lines ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for _, line := range lines {
			name, value, _ := strings.Cut(line, ": ")
			w.Header().Set(name, value)
		}
		w.WriteHeader(code)
	}
}

// says answers a status with a body.
func says(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}
}

// hang does not answer.
func (s *service) hang() http.HandlerFunc {
	return func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-s.release:
		}
	}
}

// reset breaks the connection off.
func reset(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		_ = conn.Close()
	}
}

// newPushService is a push service of browsers that knows a sender by its key.
func newPushService(t testing.TB, public func() string, subject string) *service {
	s := newService(t, httptest.NewServer)
	s.fine = 201
	s.verify = func(r *http.Request, body []byte) (string, error) {
		if r.Method != "POST" || r.Header.Get("Content-Encoding") != "aes128gcm" {
			return "", fmt.Errorf("%s %v", r.Method, r.Header)
		}
		if ttl, err := strconv.Atoi(r.Header.Get("TTL")); err != nil || ttl <= 0 {
			return "", fmt.Errorf("TTL %q", r.Header.Get("TTL"))
		}
		if topic := r.Header.Get("Topic"); len(topic) > 32 || strings.Trim(topic, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return "", fmt.Errorf("topic %q", topic)
		}
		if err := verifyVAPID(r.Header.Get("Authorization"), public(), s.URL, subject); err != nil {
			return "", err
		}
		s.mu.Lock()
		b := s.browsers[r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]]
		s.mu.Unlock()
		if b == nil {
			return "", errors.New("nobody's")
		}
		text, err := b.decrypt(body)
		return string(text), err
	}
	return s
}

// verifyVAPID checks the header as RFC 8292 has it.
func verifyVAPID(header, public, audience, subject string) error {
	rest, ok := strings.CutPrefix(header, "vapid t=")
	text, key, found := strings.Cut(rest, ", k=")
	if !ok || !found {
		return fmt.Errorf("authorization %q", header)
	}
	if key != public {
		return fmt.Errorf("the key is %s, not %s", key, public)
	}
	point, err := base64.RawURLEncoding.DecodeString(key)
	if err != nil {
		return err
	}
	pk, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return err
	}
	var claims jwt.RegisteredClaims
	_, err = jwt.ParseWithClaims(text, &claims, func(*jwt.Token) (any, error) { return pk, nil },
		jwt.WithValidMethods([]string{"ES256"}), jwt.WithAudience(audience), jwt.WithExpirationRequired(), jwt.WithSubject(subject))
	if err != nil {
		return err
	}
	if life := time.Until(claims.ExpiresAt.Time); life > 24*time.Hour {
		return fmt.Errorf("it expires in %v", life)
	}
	return nil
}

// subscribe makes a browser's subscription to the service.
func (s *service) subscribe(name string) map[string]any {
	b := newBrowser(s.t)
	s.mu.Lock()
	s.browsers[name] = b
	s.mu.Unlock()
	return map[string]any{"kind": "webpush", "endpoint": s.URL + "/send/" + name, "keys": b.keys()}
}
