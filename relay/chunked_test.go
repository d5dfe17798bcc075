package relay_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"weir/relay"
	"weir/relay/auth"
)

// The HTTP server is lax about what stands between chunks and behind the last one, so that nothing behind a chunked
// request is read as the next: whatever it is answered with, on every route, by whom, and by which way it has come.
func TestChunkedIsLast(t *testing.T) {
	c := newCrew(t, false)
	user := relay.MintClaims(t, auth.Claims{Sub: "u1", Roles: []string{auth.RoleAdmin}})
	const body = `{"channel":"a","data":1}`
	first := fmt.Sprintf("POST /v1/publish HTTP/1.1\r\nHost: relay\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", relay.TestKey, len(body), body)
	const behind = "GET /v1/openapi.yaml HTTP/1.1\r\nHost: relay\r\n\r\n"
	seen := make(map[int]int)
	for _, line := range append(c.relay.Routes(), "GET /nothing", "PATCH /v1/publish", "BREW /", "POST /v1/publish?x") {
		method, path, _ := strings.Cut(line, " ")
		path = strings.NewReplacer("{", "", "}", "").Replace(path)
		for _, key := range []string{"", relay.TestKey, user} {
			for _, ahead := range []string{"", first} { // the event loop answers that, and passes on what is behind it
				for _, chunks := range []string{"", "2\r\n{}\r\n", "3\r\n\"a\"\r\n"} {
					request := method + " " + path + " HTTP/1.1\r\nHost: relay\r\nTransfer-Encoding: chunked\r\n"
					if key != "" {
						request += "Authorization: Bearer " + key + "\r\n"
					}
					list, open := c.answers(t, ahead+request+"\r\n"+chunks+"0\r\n\r\n"+behind)
					want := 1
					if ahead != "" {
						want++
					}
					if len(list) != want || open {
						t.Fatalf("%s with %.10q, %.5q ahead, %q: answers %v, open %t", line, key, ahead, chunks, list, open)
					}
					seen[list[want-1]/100]++
				}
			}
		}
	}
	if seen[2] == 0 || seen[4] < 100 {
		t.Errorf("classes of answers: %v", seen)
	}
}

// answers are the statuses that bytes get until the relay closes the connection, or begins an event stream.
func (c *crew) answers(t *testing.T, b string) (list []int, open bool) {
	nc, err := net.Dial("tcp", c.public)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(nc, b); err != nil {
		t.Fatal(err)
	}
	for r := bufio.NewReader(nc); ; {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			ne, ok := err.(net.Error)
			return list, ok && ne.Timeout()
		}
		list = append(list, resp.StatusCode)
		if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
			return list, false
		}
		_, _ = io.Copy(io.Discard, resp.Body)
	}
}
