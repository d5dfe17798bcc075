package relaytest_test

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"weir/broker"
	"weir/relay"
	"weir/relay/auth"
	"weir/relay/config"
	"weir/relay/hub"
	"weir/relay/problem"
	"weir/relay/relaytest"
)

// plain is a dialect in which a change is told as "{channel} {created} {data}". The first word of a client's messages says what
// it wants.
type plain struct {
	host    relay.Host
	dialect hub.Dialect
	clients atomic.Int64 // of the ids
}

func (*plain) Name() string { return "plain" }
func (*plain) Close()       {}

func (p *plain) Start(host relay.Host) error {
	p.host = host
	p.dialect = hub.Dialect{
		Name: "plain",
		Change: func(dst []byte, channel string, c *broker.ChangeView) []byte {
			return fmt.Appendf(dst, "%s %v %s%s %v %s", channel, c.Op, c.Group, c.Key, c.Created, c.Data)
		},
	}
	if err := host.Dialect(&p.dialect); err != nil {
		return err
	}
	host.WebSocket("/plain", relay.WebSocketRoute{
		Dialect: &relay.DialectRoute{
			Dialect: &p.dialect,
			Identify: func(ctx *fasthttp.RequestCtx) (*auth.Identity, any, string, error) {
				if len(ctx.QueryArgs().Peek("refuse")) > 0 {
					return nil, nil, "", problem.Forbidden
				}
				return &auth.Identity{Anonymous: true}, nil, "", nil
			},
			Refused: func(err error) ([]byte, int, string) { return []byte("no: " + problem.Of(err).Code), 4400, "no" },
			ID:      func() string { return fmt.Sprint("id.", p.clients.Add(1)) },
			Close:   func(code int, _ string) ([]byte, int, string) { return nil, code + 400, "mapped" },
		},
		Open: func(c *relay.Client) { c.Send([]byte(c.ID())) },
		Message: func(c *relay.Client, data []byte, _ bool) {
			word, rest, _ := strings.Cut(string(data), " ")
			var err error
			switch word {
			case "all":
				err = c.Follow(relay.Follow{Channel: rest, First: state})
			case "group":
				channel, group, _ := strings.Cut(rest, " ")
				err = c.Follow(relay.Follow{Channel: channel, Groups: []string{group}, First: state})
			case "item":
				f := strings.Fields(rest)
				err = c.Follow(relay.Follow{Channel: f[0], Groups: f[1:2], Key: f[2], First: state})
			case "leave":
				c.Unfollow(rest)
			}
			if err != nil {
				c.Send([]byte(problem.Of(err).Code))
			}
		},
	})
	return nil
}

func state(r broker.Reply) [][]byte { return [][]byte{r.State, []byte("end")} }

func text(t *testing.T, p *relaytest.Peer, want string) {
	t.Helper()
	if _, got := p.Read(); string(got) != want {
		t.Fatalf("%s, want %s", got, want)
	}
}

func publish(g *relaytest.Rig, body string) {
	g.Helper()
	if status, out := g.Backend("POST", "/v1/publish", body); status != http.StatusOK {
		g.Fatal(status, out)
	}
}

// TestDialect follows a whole channel, a group and an item of it in a dialect.
func TestDialect(t *testing.T) {
	g := relaytest.Start(t, func(c *config.Config) { c.Limit.Subscriptions = 2 }, new(plain))
	peers := make(map[string]*relaytest.Peer)
	for i, name := range []string{"all", "group", "item"} {
		p, _ := g.Dial("", "/plain")
		text(t, p, fmt.Sprint("id.", i+1))
		peers[name] = p
	}
	publish(g, `{"channel":"c","group":"g","key":"k","data":1}`)
	publish(g, `{"channel":"c","group":"g","key":"j","data":2}`)
	publish(g, `{"channel":"c","group":"h","key":"k","data":3}`)
	for name, command := range map[string]string{"all": "all c", "group": "group c g", "item": "item c g k"} {
		peers[name].Send(command)
	}
	text(t, peers["all"], `{"g":{"k":1,"j":2},"h":{"k":3}}`)
	text(t, peers["group"], `{"g":{"k":1,"j":2}}`)
	text(t, peers["item"], `{"g":{"k":1}}`)
	for _, p := range peers {
		text(t, p, "end")
	}
	publish(g, `{"channel":"c","group":"h","key":"k","data":4}`)
	publish(g, `{"channel":"c","group":"g","key":"j","data":5,"exclude":"id.1"}`)
	publish(g, `{"channel":"c","group":"g","key":"k","data":6}`)
	publish(g, `{"channel":"c","group":"g","key":"new","data":7}`)
	publish(g, `{"channel":"c","group":"g","key":"k","op":"delete"}`)
	text(t, peers["all"], "c set hk false 4") // without the one that leaves it out
	text(t, peers["all"], "c set gk false 6")
	text(t, peers["all"], "c set gnew true 7")
	text(t, peers["all"], "c delete gk false ")
	text(t, peers["group"], "c set gj false 5")
	text(t, peers["group"], "c set gk false 6")
	text(t, peers["group"], "c set gnew true 7")
	text(t, peers["group"], "c delete gk false ")
	text(t, peers["item"], "c set gk false 6")
	text(t, peers["item"], "c delete gk false ")

	peers["all"].Send("leave c")
	peers["all"].Send("all c")
	text(t, peers["all"], `{"g":{"j":5,"new":7},"h":{"k":4}}`)
	text(t, peers["all"], "end")
	for _, c := range []string{"d", "e", "f"} {
		peers["all"].Send("all " + c)
	}
	for range 2 {
		text(t, peers["all"], "{}")
		text(t, peers["all"], "end")
	}
	text(t, peers["all"], "too_many")

	if p, status := g.Dial("", "/plain?refuse=1"); p == nil {
		t.Fatal("refused with the status", status)
	} else {
		text(t, p, "no: forbidden")
		if code := p.Closed(); code != 4400 {
			t.Error("closed with", code)
		}
	}
	if status, out := g.Backend("POST", "/v1/disconnect", `{"connectionId":"id.2"}`); status != http.StatusOK {
		t.Fatal(status, out)
	}
	if code := peers["group"].Closed(); code != 4403 {
		t.Error("closed with", code)
	}
}

// TestDialectEncodesOnce has many takers and counts the windows that were encoded.
func TestDialectEncodesOnce(t *testing.T) {
	takers := 5000
	if testing.Short() {
		takers = 500
	}
	p := new(plain)
	g := relaytest.Start(t, nil, p)
	handshake := "GET /plain HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n\x81\x85\x00\x00\x00\x00all c"
	readers := make([]*bufio.Reader, takers)
	until := func(i int, want string) {
		for {
			line, err := readers[i].ReadString('d')
			if err != nil {
				t.Fatal(i, err)
			}
			if strings.HasSuffix(line, want) {
				return
			}
		}
	}
	for i := range takers {
		nc, err := net.Dial("tcp", strings.TrimPrefix(g.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = nc.Close() }()
		_ = nc.SetDeadline(time.Now().Add(time.Minute))
		if _, err := nc.Write([]byte(handshake)); err != nil {
			t.Fatal(err)
		}
		readers[i] = bufio.NewReaderSize(nc, 64)
	}
	for i := range readers {
		until(i, "end")
	}
	if n := p.dialect.Encodes(); n != 0 {
		t.Fatal("encoded for nobody:", n)
	}
	publish(g, `{"channel":"c","data":"heard"}`)
	for i := range readers {
		until(i, "heard")
	}
	if n := p.dialect.Encodes(); n != 1 {
		t.Errorf("%d takers, %d encodes", takers, n)
	}
}

// TestTooManyDialects finds that a relay has room for four.
func TestTooManyDialects(t *testing.T) {
	var err error
	g := relaytest.Start(t, nil, starter(func(host relay.Host) error {
		for range 5 {
			err = errors.Join(err, host.Dialect(new(hub.Dialect)))
		}
		return nil
	}))
	g.Stop()
	if err == nil || err.Error() != "too many dialects" {
		t.Error(err)
	}
}

type starter func(host relay.Host) error

func (starter) Name() string                  { return "starter" }
func (s starter) Start(host relay.Host) error { return s(host) }
func (starter) Close()                        {}
