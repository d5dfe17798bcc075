// Package post makes the POST requests with which systems reach backends and push services. It has no state.
//
// Entry points: [Send], and [Signed] for the headers of the Standard Webhooks specification.
package post

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"weir/internal/sign"
	"weir/internal/wire"
)

// ErrURL is returned for a url that is not an address.
var ErrURL = errors.New("url is not an address")

// Response is what has come of a request. Body is what was read of it.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// Send sends a body, which is JSON unless the header says otherwise, and reads at most limit bytes of the response. Errors:
// ErrURL, and those of the exchange, which may name the address (see safedial.Problem). If only the body of the response could
// not be read, the response is returned as well.
func Send(ctx context.Context, client *http.Client, url string, header http.Header, body []byte, limit int64) (*Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, ErrURL
	}
	req.Header = header
	if header.Get("Content-Type") == "" {
		header.Set("Content-Type", "application/json")
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	r := &Response{Status: resp.StatusCode, Header: resp.Header}
	if resp.ContentLength != 0 {
		r.Body, err = io.ReadAll(io.LimitReader(resp.Body, limit))
	}
	return r, err
}

// Traced is the header that passes a trace on; nil without one.
func Traced(traceparent string) http.Header {
	if !wire.ValidTraceparent(traceparent) {
		return nil
	}
	return http.Header{"Traceparent": {traceparent}}
}

// Signed is the header of a request that is signed with keys. A receiver knows the request by its id.
func Signed(keys [][]byte, id string, now time.Time, body []byte) http.Header {
	h := make(http.Header, 8)
	h.Set("User-Agent", "weir")
	h.Set(sign.HeaderID, id)
	h.Set(sign.HeaderTimestamp, strconv.FormatInt(now.Unix(), 10))
	h.Set(sign.HeaderSignature, sign.Sign(keys, id, now, body))
	return h
}
