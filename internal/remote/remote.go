package remote

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Relay is a relay as it is reached from here.
type Relay struct {
	URL      *url.URL // http or https, perhaps with a path before the relay's own
	Token    string   // of a client; "" for none
	Origin   string   // of the page that a browser would have opened; "" for none
	Insecure bool     // certificates are not checked

	client *http.Client
}

// New returns the relay at an address, to which http:// may be missing. Errors: it is no address.
func New(address string) (*Relay, error) {
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	u, err := url.Parse(strings.TrimSuffix(address, "/"))
	if err != nil {
		return nil, fmt.Errorf("the address is not valid: %w", err)
	}
	switch u.Scheme {
	case "ws":
		u.Scheme = "http"
	case "wss":
		u.Scheme = "https"
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("the address must be http://HOST or https://HOST, not %q", address)
	}
	return &Relay{URL: u}, nil
}

// timeout bounds a request and its answer.
const timeout = 10 * time.Second

// maxBody bounds what is read of an answer.
const maxBody = 16 << 20

// HTTP returns the client that requests are made with: no redirects are followed, as a WebSocket follows none.
func (r *Relay) HTTP() *http.Client {
	if r.client == nil {
		r.client = &http.Client{
			Transport: &http.Transport{
				Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, ResponseHeaderTimeout: timeout, TLSHandshakeTimeout: timeout,
				TLSClientConfig: r.tls(),
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	return r.client
}

func (r *Relay) tls() *tls.Config {
	return &tls.Config{InsecureSkipVerify: r.Insecure} //nolint:gosec // somebody has asked for it by name
}

// Request makes a request for a path of the relay's, with the token or the key in its header.
func (r *Relay) Request(ctx context.Context, method, path, credentials string, body []byte) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, r.URL.String()+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if credentials != "" {
		req.Header.Set("Authorization", "Bearer "+credentials)
	}
	if r.Origin != "" {
		req.Header.Set("Origin", r.Origin)
	}
	if len(body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

// Do makes a request and decodes the answer into v, if v is not nil. Errors: [Refusal], and that there is no answer.
func (r *Relay) Do(ctx context.Context, method, path, credentials string, body []byte, v any) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := r.Request(ctx, method, path, credentials, body)
	if err != nil {
		return err
	}
	resp, err := r.HTTP().Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return RefusalOf(resp.StatusCode, answer)
	}
	if v == nil {
		return nil
	}
	if err := json.Unmarshal(answer, v); err != nil {
		return fmt.Errorf("the response is not from a relay: %w", err)
	}
	return nil
}

// Refusal is an answer that says no.
type Refusal struct {
	Status int    // of HTTP; 0: a message of a connection
	Code   string // of the relay's problem; "" if it is none of a relay
	Reason string // in words
}

// Error implements error.
func (r *Refusal) Error() string {
	switch {
	case r.Status == 0:
		return r.Code + ": " + r.Reason
	case r.Code == "":
		return fmt.Sprintf("HTTP %d, not from a relay: %s", r.Status, r.Reason)
	}
	return fmt.Sprintf("HTTP %d %s: %s", r.Status, r.Code, r.Reason)
}

// RefusalOf reads the reason of an answer that is not a success.
func RefusalOf(status int, body []byte) *Refusal {
	var p struct{ Code, Title, Detail string }
	if err := json.Unmarshal(body, &p); err == nil && p.Code != "" {
		reason := p.Title
		if p.Detail != "" {
			reason = p.Detail
		}
		return &Refusal{Status: status, Code: p.Code, Reason: reason}
	}
	return &Refusal{Status: status, Reason: http.StatusText(status)}
}
