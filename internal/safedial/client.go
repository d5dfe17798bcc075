package safedial

import (
	"fmt"
	"net"
	"net/http"
	"time"
)

// maxHeader bounds the header of an answer, in bytes.
const maxHeader = 64 << 10

// Client returns a client that talks https to public addresses only, follows no redirect, uses no
// proxy and ends each exchange, reading of the body included, after timeout (positive; 5 s when it is
// not). It is safe for concurrent use; call CloseIdleConnections when done with it.
func Client(timeout time.Duration) *http.Client {
	return newClient(timeout, &net.Dialer{Control: control}, true)
}

// Insecure is [Client] without the checks of scheme and address: for tests, and for service meshes
// whose operator asked for it. Redirects are refused and certificates verified all the same.
func Insecure(timeout time.Duration) *http.Client {
	return newClient(timeout, &net.Dialer{}, false)
}

// For returns the client of an address that may be insecure, or of development mode (dev), which also talks to this machine,
// over http as well; otherwise that of [Client].
func For(timeout time.Duration, insecure, dev bool) *http.Client {
	switch {
	case insecure:
		return Insecure(timeout)
	case dev:
		return newClient(timeout, &net.Dialer{Control: controlLocal}, false)
	}
	return Client(timeout)
}

// Keep has a client of this package keep up to so many idle connections to a host, for one that many requests at once go to. It
// is to be called before the client is used.
func Keep(c *http.Client, idle int) { c.Transport.(*transport).MaxIdleConnsPerHost = idle }

func newClient(timeout time.Duration, dialer *net.Dialer, httpsOnly bool) *http.Client {
	if timeout <= 0 {
		timeout = 5 * time.Second
	}
	dialer.Timeout = timeout
	return &http.Client{
		Timeout: timeout,
		Transport: &transport{httpsOnly: httpsOnly, Transport: http.Transport{
			// A proxy would dial in our place, where control sees nothing.
			Proxy:                  nil,
			DialContext:            dialer.DialContext,
			TLSHandshakeTimeout:    timeout,
			ResponseHeaderTimeout:  timeout,
			MaxResponseHeaderBytes: maxHeader,
			MaxIdleConnsPerHost:    16,
			IdleConnTimeout:        90 * time.Second,
			ForceAttemptHTTP2:      true,
			// So that a caller's limit on the body is a limit on what was received, too.
			DisableCompression: true,
		}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return ErrRedirect },
	}
}

// transport is an http.Transport that can insist on https.
type transport struct {
	http.Transport
	httpsOnly bool
}

// RoundTrip refuses other schemes with ErrScheme.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if t.httpsOnly && r.URL.Scheme != "https" {
		if r.Body != nil {
			_ = r.Body.Close() // a RoundTripper closes it, also when it fails
		}
		return nil, fmt.Errorf("%s request: %w", r.Method, ErrScheme)
	}
	return t.Transport.RoundTrip(r)
}
