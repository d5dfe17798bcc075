package hooks_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/internal/memnet"
	"weir/relay/config"
	"weir/relay/relaytest"
	"weir/relay/systems/hooks"
)

const (
	stormAtOnce   = 1000 // clients whose connections are open together: the race detector knows of 8128 goroutines
	stormParallel = 16
)

// stormOf is how many clients come in all. Four have the same cookie.
func stormOf(transport string) int {
	if testing.Short() && transport != "command" { // sessions take several times as long
		return 400
	}
	return 10000
}

// Everybody comes back at once after a restart: the backend is asked at most so much at once, and once for each cookie. With resume
// tickets it is not asked at all.
func TestStormOfClients(t *testing.T) {
	for name, request := range map[string]string{
		"ws":      "GET /ws?%s HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n",
		"sse":     "GET /sse?%s HTTP/1.1\r\n",
		"command": "POST /command?%s HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 15\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			stormClients := stormOf(name)
			stormCookies := stormClients / 4
			var mu sync.Mutex
			asked := make(map[string]int)
			b := newBackend(t, func(q *question) (int, string) {
				mu.Lock()
				asked[q.cookie("session")]++
				mu.Unlock()
				return users("")(q)
			})
			s := &storm{TB: t, request: request, tickets: make([]string, stormClients)}
			var g *relaytest.Rig
			restart := func() {
				s.ln = memnet.Listen("public", 0)
				g = relaytest.StartOn(t, s.ln, configured(b, func(c *config.Config, h *hooks.Config) {
					h.Parallel, h.Timeout, h.Connect.Cache, h.Breaker.After = stormParallel, 10*time.Second, time.Hour, 1000
					c.Limit.PerAddress, c.Limit.PerUser = stormClients, 100
				}), hooks.New())
			}
			restart()
			s.rage(stormClients)
			outcome := func(name string) int {
				return int(g.Gauge(`weir_hooks_questions_total{hook="connect",outcome="` + name + `"}`))
			}
			late := outcome("failed") + outcome("busy") // on a machine that is too busy for the timeout; such a question is asked again
			if n := outcome("allowed"); n != stormCookies || len(asked) != stormCookies {
				t.Errorf("%d answers about %d cookies, want one for each of %d", n, len(asked), stormCookies)
			}
			again := 0
			for _, n := range asked {
				again += n - 1
			}
			if again > late {
				t.Errorf("asked again %d times; %d questions were not answered in time", again, late)
			}
			b.mu.Lock()
			if b.most > stormParallel+late {
				t.Errorf("%d questions at once, want %d at most", b.most, stormParallel)
			}
			b.mu.Unlock()
			if name != "ws" {
				return
			}
			clear(asked)
			restart()
			s.again.Store(0)
			s.rage(min(stormAtOnce, stormClients))
			if len(asked) > int(s.again.Load()) {
				t.Errorf("asked about %d clients with a ticket", len(asked))
			}
		})
	}
}

// storm is clients that come at once.
type storm struct {
	testing.TB
	ln      *memnet.Listener
	request string
	tickets []string     // of each client; "" before it has one
	again   atomic.Int32 // connections that broke off before there was an answer, on a machine that is too busy for the relay's timeouts
}

func (s *storm) rage(clients int) {
	for from := 0; from < clients; from += stormAtOnce {
		open := make([]net.Conn, min(stormAtOnce, clients))
		var coming sync.WaitGroup
		for i := range open {
			coming.Go(func() { open[i] = s.come(from + i) })
		}
		coming.Wait()
		for _, nc := range open {
			if nc != nil {
				_ = nc.Close()
			}
		}
	}
}

// come connects a client, as often as it is told to come back later.
func (s *storm) come(client int) net.Conn {
	user := fmt.Sprint("u", client/4)
	query := "channel=news:1"
	if ticket := s.tickets[client]; ticket != "" {
		query += "&resume=" + ticket
	}
	for {
		nc, err := s.ln.Dial(context.Background())
		if err != nil {
			s.Error(err)
			return nil
		}
		_ = nc.SetDeadline(time.Now().Add(time.Minute))
		_, _ = io.WriteString(nc, fmt.Sprintf(s.request, query)+"Host: app.example\r\nOrigin: "+origin+"\r\nCookie: session="+user+"\r\n\r\n")
		if strings.HasPrefix(s.request, "POST") {
			_, _ = io.WriteString(nc, `{"type":"ping"}`)
		}
		from := bufio.NewReader(nc)
		resp, err := http.ReadResponse(from, nil)
		if err != nil {
			if _ = nc.Close(); s.again.Add(1) > stormAtOnce {
				s.Errorf("client %d: %v", client, err)
				return nil
			}
			continue
		}
		switch resp.StatusCode {
		case http.StatusServiceUnavailable: // it comes back
			if resp.Header.Get("Retry-After") == "" {
				s.Errorf("client %d: no Retry-After", client)
			}
			_ = nc.Close()
			<-time.After(10 * time.Millisecond)
			continue
		case http.StatusSwitchingProtocols:
			s.greet(client, user, from)
		case http.StatusOK:
			if !strings.HasPrefix(s.request, "POST") {
				s.greet(client, user, bufio.NewReader(resp.Body))
			}
		default:
			s.Errorf("client %d: %s", client, resp.Status)
		}
		return nc
	}
}

var ticket = regexp.MustCompile(`"resume":"([^"]+)"`)

// greet reads who the client is, and its ticket.
func (s *storm) greet(client int, user string, from *bufio.Reader) {
	text := ""
	for {
		part, err := from.ReadString('"')
		if text += part; err != nil {
			s.Errorf("client %d: %v after %q", client, err, text)
			return
		}
		if m := ticket.FindStringSubmatch(text); m != nil {
			s.tickets[client] = m[1]
			break
		}
	}
	if !strings.Contains(text, `"userId":"`+user+`"`) {
		s.Errorf("client %d is not %s: %s", client, user, text)
	}
}
