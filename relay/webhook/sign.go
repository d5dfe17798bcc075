package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The headers of the Standard Webhooks specification.
const (
	headerID        = "webhook-id"
	headerTimestamp = "webhook-timestamp"
	headerSignature = "webhook-signature"
)

// Tolerance is how far the time in a signed request may lie from the receiver's own.
const Tolerance = 5 * time.Minute

// The reasons why Verify refuses a request.
var (
	ErrSignature = errors.New("no signature of the request is right")
	ErrTimestamp = errors.New("the request is too old, or from the future")
)

// secretPrefix begins a secret, and scheme a signature made with one.
const (
	secretPrefix = "whsec_"
	scheme       = "v1,"
)

// ParseSecret reads a secret as it is configured: whsec_ and 24 to 64 bytes in base64. Errors show nothing of it.
func ParseSecret(text string) ([]byte, error) {
	rest, ok := strings.CutPrefix(text, secretPrefix)
	if !ok {
		return nil, errors.New("a secret begins with " + secretPrefix)
	}
	key, err := base64.StdEncoding.DecodeString(rest)
	if err != nil {
		return nil, errors.New("a secret is base64 behind " + secretPrefix)
	}
	if len(key) < 24 || len(key) > 64 {
		return nil, fmt.Errorf("a secret has 24 to 64 bytes, not %d", len(key))
	}
	return key, nil
}

// Sign makes the value of the webhook-signature header: one signature for each key.
func Sign(keys [][]byte, id string, at time.Time, body []byte) string {
	b := make([]byte, 0, 64*len(keys))
	for i, key := range keys {
		if i > 0 {
			b = append(b, ' ')
		}
		b = base64.StdEncoding.AppendEncode(append(b, scheme...), digest(key, id, strconv.FormatInt(at.Unix(), 10), body))
	}
	return string(b)
}

func digest(key []byte, id, timestamp string, body []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(id + "." + timestamp + "."))
	h.Write(body)
	return h.Sum(nil)
}

// Verify is what a receiver does: it checks the three headers of a request with a body. Errors: ErrTimestamp,
// ErrSignature. A receiver also remembers the ids of the last Tolerance, to see what is repeated.
func Verify(key []byte, id, timestamp, signature string, body []byte, now time.Time) error {
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil {
		return ErrTimestamp
	}
	if age := now.Sub(time.Unix(seconds, 0)); age > Tolerance || age < -Tolerance {
		return ErrTimestamp
	}
	want := digest(key, id, timestamp, body)
	for one := range strings.SplitSeq(signature, " ") {
		text, ok := strings.CutPrefix(one, scheme)
		if !ok {
			continue
		}
		if got, err := base64.StdEncoding.DecodeString(text); err == nil && hmac.Equal(got, want) {
			return nil
		}
	}
	return ErrSignature
}
