// Package sign signs requests as Standard Webhooks does, and checks such signatures. It has no state.
package sign

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// The headers of the Standard Webhooks specification.
const (
	HeaderID        = standardwebhooks.HeaderWebhookID
	HeaderTimestamp = standardwebhooks.HeaderWebhookTimestamp
	HeaderSignature = standardwebhooks.HeaderWebhookSignature
)

// tolerance is how far the time in a signed request may lie from the receiver's own.
const tolerance = 5 * time.Minute

// The reasons why Verify refuses a request.
var (
	errSignature = errors.New("no signature of the request matches")
	errTimestamp = errors.New("the request is too old, or from the future")
)

// secretPrefix begins a secret.
const secretPrefix = "whsec_"

// ParseSecret reads a secret as it is configured: whsec_ and 24 to 64 bytes in base64. Errors show nothing of it.
func ParseSecret(text string) ([]byte, error) {
	rest, ok := strings.CutPrefix(text, secretPrefix)
	if !ok {
		return nil, errors.New("the secret must begin with " + secretPrefix)
	}
	key, err := base64.StdEncoding.DecodeString(rest)
	if err != nil {
		return nil, errors.New("the secret must be base64 after " + secretPrefix)
	}
	if len(key) < 24 || len(key) > 64 {
		return nil, fmt.Errorf("the secret must have 24 to 64 bytes, not %d", len(key))
	}
	return key, nil
}

// ParseSecrets reads secrets, of which there must be one.
func ParseSecrets(texts []string) (keys [][]byte, err error) {
	if len(texts) == 0 {
		return nil, errors.New("at least one secret is required")
	}
	keys = make([][]byte, len(texts))
	for i, text := range texts {
		if keys[i], err = ParseSecret(text); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

// Sign makes the value of the webhook-signature header: one signature for each key.
func Sign(keys [][]byte, id string, at time.Time, body []byte) string {
	list := make([]string, len(keys))
	for i, key := range keys {
		w, _ := standardwebhooks.NewWebhookRaw(key) // neither of these fails
		list[i], _ = w.Sign(id, at, body)
	}
	return strings.Join(list, " ")
}

// Verify is what a receiver does: it checks the three headers of a request with a body. Errors: errTimestamp,
// errSignature. A receiver also remembers the ids of the last tolerance, to see what is repeated.
func Verify(key []byte, id, timestamp, signature string, body []byte, now time.Time) error {
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil {
		return errTimestamp
	}
	if age := now.Sub(time.Unix(seconds, 0)); age > tolerance || age < -tolerance {
		return errTimestamp
	}
	w, _ := standardwebhooks.NewWebhookRaw(key)
	h := make(http.Header, 3)
	h.Set(HeaderID, id)
	h.Set(HeaderTimestamp, timestamp)
	h.Set(HeaderSignature, signature)
	if w.VerifyIgnoringTimestamp(body, h) != nil { // its own clock is the wall's
		return errSignature
	}
	return nil
}
