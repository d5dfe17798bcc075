package target

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/url"

	"weir/loadtest/codec"
)

// mercure is a hub of the Mercure protocol: a subscriber's channels are topics of its event stream, and each message is a form.
type mercure struct {
	payloads
	at   Endpoint
	head []byte // of a publish
}

// hubPath is where hubs are, below the address.
const hubPath = "/.well-known/mercure"

// hubKey is the key that the protocol's documentation uses, and hubs for trying out.
const hubKey = "!ChangeThisMercureHubJWTSecretKey!"

func newMercure(o Options, subscribe, publish Endpoint) Target {
	if o.Key == "" {
		part := base64.RawURLEncoding.EncodeToString
		text := part([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + part([]byte(`{"mercure":{"publish":["*"]}}`))
		mac := hmac.New(sha256.New, []byte(hubKey))
		mac.Write([]byte(text))
		o.Key = text + "." + part(mac.Sum(nil))
	}
	return &mercure{at: subscribe, head: post(publish, publish.at(hubPath), [2]string{"Authorization", "Bearer " + o.Key}, [2]string{"Content-Type", "application/x-www-form-urlencoded"})}
}

func (t *mercure) Traits() Traits { return Traits{Stream: EventStream, Batch: 1, Settle: true} }

func (t *mercure) Open(s *Subscriber) codec.Request {
	query := url.Values{}
	for _, c := range s.Channels {
		query.Add("topic", c.Name)
	}
	r := t.at.get(t.at.at(hubPath) + "?" + query.Encode())
	if s.Token != "" {
		r = r.With("Authorization", "Bearer "+s.Token)
	}
	if len(s.Cursor) > 0 {
		r = r.With("Last-Event-ID", string(s.Cursor))
	}
	return r
}

// Publish sends a message as a form. Its channel comes back with the payload only: subscribers of several topics tell them apart by that.
func (t *mercure) Publish(dst []byte, msgs []Message) []byte {
	return appendRequest(dst, t.head, func(dst []byte) []byte {
		dst = append(append(dst, "topic="...), url.QueryEscape(msgs[0].Channel)...)
		return append(append(dst, "&data="...), url.QueryEscape(string(bytes.TrimSpace(msgs[0].Data)))...)
	})
}
