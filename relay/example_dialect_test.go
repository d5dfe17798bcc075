package relay_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"
	"github.com/valyala/fasthttp"

	"weir/broker"
	"weir/relay"
	"weir/relay/auth"
	"weir/relay/config"
	"weir/relay/hub"
)

// lines speaks plain lines over WebSocket about the channels of the namespace "line": a client sends "follow news", "leave news" or
// "say news Good morning", and gets "news Good morning", and "news." behind what there is already.
type lines struct {
	host    relay.Host
	dialect hub.Dialect
}

func (*lines) Name() string { return "lines" }
func (*lines) Close()       {}

func (l *lines) Start(host relay.Host) error {
	l.host = host
	l.dialect = hub.Dialect{Name: "lines", Change: func(dst []byte, channel string, c *broker.ChangeView) []byte {
		if c.Op == broker.Delete {
			return dst // is not told
		}
		return appendLine(dst, channel, c.Data)
	}}
	if err := host.Reserve("line", config.Namespace{Publish: config.Authenticated}); err != nil {
		return err
	}
	if err := host.Dialect(&l.dialect); err != nil {
		return err
	}
	host.WebSocket("/lines", relay.WebSocketRoute{
		Dialect: &relay.DialectRoute{Dialect: &l.dialect, Identify: identifyReader, Close: func(code int, reason string) ([]byte, int, string) {
			return []byte("bye " + reason), code, reason
		}},
		Message: l.message,
		Open:    func(c *relay.Client) { c.Send([]byte("hello " + c.Value.(string))) },
	})
	return nil
}

// identifyReader lets everybody in, under the name that the query says.
func identifyReader(ctx *fasthttp.RequestCtx) (*auth.Identity, any, string, error) {
	return &auth.Identity{Anonymous: true}, string(ctx.QueryArgs().Peek("name")), "lines", nil
}

// message is called with each message of a client, one at a time.
func (l *lines) message(c *relay.Client, data []byte, _ bool) {
	command, rest, _ := strings.Cut(string(data), " ")
	name, text, _ := strings.Cut(rest, " ")
	channel := "line:" + name
	var err error
	switch command {
	case "follow":
		err = c.Follow(relay.Follow{Channel: channel, First: func(r broker.Reply) [][]byte {
			last, _, _ := bytes.Cut(bytes.TrimPrefix(r.State, []byte(`{"items":{"last":`)), []byte("}}"))
			return [][]byte{appendLine(nil, channel, last), []byte(name + ".")}
		}})
	case "leave":
		c.Unfollow(channel)
	case "say": // what was said last is an item, which who follows later gets first
		_, err = l.host.Publish(channel, &broker.Publication{Op: broker.Set, Key: "last", Data: fmt.Appendf(nil, "%q", text)})
	default:
		err = fmt.Errorf("%s is not follow, leave or say", command)
	}
	if err != nil {
		c.Send([]byte("! " + err.Error()))
	}
}

// appendLine appends "news Good morning" for the JSON string that was published.
func appendLine(dst []byte, channel string, data []byte) []byte {
	if len(data) < 2 || data[0] != '"' {
		return dst
	}
	dst = append(append(dst, strings.TrimPrefix(channel, "line:")...), ' ')
	return append(dst, data[1:len(data)-1]...)
}

// A dialect: clients that speak plain lines follow the same channels as all others. docs/writing-a-dialect.md explains it.
func Example_dialect() {
	r, err := relay.New(config.Config{Dev: true, Listen: "127.0.0.1:0", Admin: "127.0.0.1:0"}, slog.New(slog.DiscardHandler), new(lines))
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error)
	go func() { served <- r.Serve(ctx) }() // ends when stop is called
	<-r.Ready()
	public, _ := r.Addrs()

	patience, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	dial := func(name string) *websocket.Conn {
		conn, _, err := websocket.Dial(patience, "ws://"+public.String()+"/lines?name="+name, &websocket.DialOptions{Subprotocols: []string{"lines"}})
		if err != nil {
			fmt.Println(err)
		}
		return conn
	}
	say := func(c *websocket.Conn, line string) { _ = c.Write(patience, websocket.MessageText, []byte(line)) }
	hear := func(c *websocket.Conn) {
		_, line, err := c.Read(patience)
		fmt.Printf("%s %v\n", line, err)
	}
	ann, bob := dial("ann"), dial("bob")
	hear(ann)
	hear(bob)
	say(ann, "follow news")
	hear(ann) // nothing has been said
	say(bob, "say news Good morning")
	hear(ann)
	req, _ := http.NewRequest("POST", "http://"+public.String()+"/v1/publish", strings.NewReader(`{"channel":"line:news","data":"from a backend"}`))
	req.Header.Set("Authorization", "Bearer "+config.DevKey)
	if resp, err := http.DefaultClient.Do(req); err == nil {
		_ = resp.Body.Close()
	}
	hear(ann)
	say(bob, "follow news")
	hear(bob)
	hear(bob)
	say(bob, "dance")
	hear(bob)

	http.DefaultClient.CloseIdleConnections()
	stop()
	_, line, _ := bob.Read(patience)
	fmt.Printf("%.3s\n", line)
	_ = ann.CloseNow()
	_ = bob.CloseNow()
	fmt.Println(<-served)
	// Output:
	// hello ann <nil>
	// hello bob <nil>
	// news. <nil>
	// news Good morning <nil>
	// news from a backend <nil>
	// news Good morning <nil>
	// news. <nil>
	// ! dance is not follow, leave or say <nil>
	// bye
	// <nil>
}
