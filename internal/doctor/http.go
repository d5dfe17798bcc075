package doctor

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"weir/internal/remote"
)

// reach asks for the client library, which every relay serves to everybody.
func reach(ctx context.Context, x *examination) Finding {
	resp, err := x.get(ctx, "/weir.js", "")
	if err != nil {
		return failed(err.Error(), "nothing responds at this address: compare it with listen of the relay and with the address of the proxy")
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	_ = resp.Body.Close()
	if refused := remote.RefusalOf(resp.StatusCode, body); resp.StatusCode == http.StatusForbidden && refused.Code != "" {
		return failed(refused.Error(), "the relay refuses this host name: in development mode, let the proxy keep Host (nginx: proxy_set_header Host $http_host) and ask for localhost")
	}
	if resp.StatusCode != http.StatusOK || !strings.Contains(resp.Header.Get("Content-Type"), "javascript") {
		return failed(fmt.Sprintf("GET %s/weir.js: HTTP %d %s", x.Relay.URL, resp.StatusCode, resp.Header.Get("Content-Type")),
			"this is not the response of a relay: route /ws, /sse and /weir.js to it, with their paths as they are")
	}
	return ok("a relay responds at " + x.Relay.URL.String())
}

// get makes a GET request.
func (x *examination) get(ctx context.Context, path, credentials string) (*http.Response, error) {
	req, err := x.Relay.Request(ctx, http.MethodGet, path, credentials, nil)
	if err != nil {
		return nil, err
	}
	return x.Relay.HTTP().Do(req)
}

// maxSkew is how far two clocks may be apart: tokens are taken a minute early or late.
const maxSkew = time.Minute

// clock compares the relay's clock, or the proxy's, with the one here.
func clock(ctx context.Context, x *examination) Finding {
	resp, err := x.get(ctx, "/v1/none", "") // answered by the relay, whatever stands before it caches
	if err != nil {
		return failed(err.Error(), "")
	}
	_ = resp.Body.Close()
	there, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return skipped("no Date in the response")
	}
	if d := time.Since(there); d.Abs() > maxSkew {
		return failed(fmt.Sprintf("the clock of the relay, or of the proxy, differs from the clock here by %s", d.Round(time.Second)), "set the clocks (NTP): tokens are refused before their iat and after their exp")
	}
	return ok("the clocks are within a minute of each other")
}

// protocol checks which HTTP version event streams have.
func protocol(ctx context.Context, x *examination) Finding {
	resp, err := x.get(ctx, "/weir.js", "")
	if err != nil {
		return failed(err.Error(), "")
	}
	_ = resp.Body.Close()
	switch {
	case resp.ProtoMajor >= 2:
		return ok(resp.Proto)
	case x.Relay.URL.Scheme == "https":
		return ok(resp.Proto + ": browsers open six event streams at most to one host; over HTTP/2 there is no such limit (nginx: listen 443 ssl; http2 on)")
	}
	return ok(resp.Proto + ", not encrypted")
}

// keys asks for what backends alone may have.
func keys(ctx context.Context, x *examination) Finding {
	err := x.Relay.Do(ctx, http.MethodGet, "/v1/channels", "", nil, nil)
	refused, isRefusal := errors.AsType[*remote.Refusal](err)
	switch {
	case err == nil:
		return failed("/v1/channels is served without a key", "the proxy adds a key of its own: let it do so for backends only")
	case isRefusal && (refused.Status == http.StatusUnauthorized || refused.Status == http.StatusForbidden || refused.Status == http.StatusNotFound):
		return ok(fmt.Sprintf("/v1/ without a key is refused (HTTP %d)", refused.Status))
	}
	return failed(err.Error(), "/v1/ should be refused with 401, or not be routed at all where clients are")
}

// stream opens an event stream and waits for its first event.
func stream(ctx context.Context, x *examination) Finding {
	if x.connected == nil {
		return skipped("no client was let in")
	}
	req, err := x.Relay.Request(ctx, http.MethodGet, "/sse?"+url.Values{"channel": {x.channel()}}.Encode(), x.Relay.Token, nil)
	if err != nil {
		return failed(err.Error(), "")
	}
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Accept-Encoding", "gzip") // as browsers do: a proxy that compresses what it should not is found out
	resp, err := x.Relay.HTTP().Do(req)
	if err != nil {
		return failed("no response to GET /sse: "+err.Error(), "the proxy buffers responses: nginx needs proxy_buffering off for /sse, Caddy flush_interval -1")
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return failed(fmt.Sprintf("GET /sse: HTTP %d", resp.StatusCode), "route /sse to the relay as /ws is")
	}
	if coding := resp.Header.Get("Content-Encoding"); coding != "" {
		return failed("the event stream is compressed ("+coding+")", "do not compress text/event-stream in the proxy, which may hold events back and costs memory for each client (nginx: gzip_types without it; Caddy: match in encode)")
	}
	line, err := bufio.NewReader(resp.Body).ReadString('\n')
	if err != nil {
		return failed("no event arrived: "+err.Error(), "the proxy buffers responses: nginx needs proxy_buffering off for /sse, Caddy flush_interval -1")
	}
	if !strings.Contains(resp.Header.Get("Content-Type"), "event-stream") || !strings.Contains(line, ":") {
		return failed("the response is not an event stream: "+strings.TrimSpace(line), "route /sse to the relay")
	}
	return ok("the first event came at once")
}
