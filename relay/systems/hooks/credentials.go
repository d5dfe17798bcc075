package hooks

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"net/http"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"
)

// credentials are what a request brings that goes along to the backend. They are never logged, counted by or told.
type credentials struct {
	key     credentialKey
	cookies string      // as a Cookie header has them; "" for none
	header  http.Header // with the cookies
	origin  string
}

// credentialKey stands for credentials: a hash of all of them and the Origin, with a key of this process.
type credentialKey [sha256.Size]byte

// credentialsOf reads what goes along of a request.
func (s *System) credentialsOf(ctx *fasthttp.RequestCtx) *credentials {
	c := &credentials{header: make(http.Header), origin: string(ctx.Request.Header.Peek("Origin"))}
	mac := hmac.New(sha256.New, s.secret)
	var cookies []string
	for _, line := range ctx.Request.Header.PeekAll("Cookie") {
		for pair := range strings.SplitSeq(string(line), ";") {
			pair = strings.TrimSpace(pair)
			if name, _, ok := strings.Cut(pair, "="); ok && slices.Contains(s.config.Cookies, name) {
				cookies = append(cookies, pair)
			}
		}
	}
	if len(cookies) > 0 {
		c.cookies = strings.Join(cookies, "; ")
		c.header.Set("Cookie", c.cookies)
	}
	part(mac, c.origin)
	part(mac, c.cookies)
	for _, name := range s.config.Headers {
		for _, value := range ctx.Request.Header.PeekAll(name) {
			c.header.Add(name, string(value))
			part(mac, name)
			part(mac, string(value))
		}
	}
	mac.Sum(c.key[:0])
	return c
}

// part adds one part of what is hashed, so that no two lists of parts are the same bytes.
func part(mac hash.Hash, text string) {
	var size [8]byte
	binary.BigEndian.PutUint64(size[:], uint64(len(text)))
	mac.Write(size[:])
	mac.Write([]byte(text))
}

// fromOwnPage reports whether a request that brings cookies comes from a page that may use them. The relay has held the Origin
// against its list. Where browsers send none, with what a page asks of its own host, Sec-Fetch-Site says so.
func fromOwnPage(ctx *fasthttp.RequestCtx) bool {
	h := &ctx.Request.Header
	return len(h.Peek("Origin")) > 0 || string(h.Peek("Sec-Fetch-Site")) == "same-origin"
}
