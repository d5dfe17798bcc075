package main

import (
	"context"
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // the protocol asks for it
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/coder/websocket"
)

type pusherCommands struct {
	Check pusherCheckCommand `cmd:"" help:"Try an app of the system pusher from outside: connect, sign, send, receive."`
}

// pusherCheckCommand is weir pusher check.
type pusherCheckCommand struct {
	URL     string        `default:"http://127.0.0.1:8080" help:"Where the relay is, with the path before /app if there is one. Default: http://127.0.0.1:8080."`
	App     string        `default:"1" help:"The app's id. Default: 1, that of weir serve --dev."`
	Key     string        `default:"dev" help:"A key of the app. Default: dev."`
	Secret  string        `default:"dev" help:"The secret of the key (- reads it from the standard input). Default: dev."`
	Origin  string        `help:"Origin of the page to connect as."`
	Webhook string        `placeholder:"ADDR" help:"Listen here, where a webhook of the app points, for channel_occupied."`
	Timeout time.Duration `default:"10s" help:"How long each step may take. Default: 10s."`
}

// Help is the detailed help of the command.
func (*pusherCheckCommand) Help() string {
	return "Connects to the app, subscribes to a private channel, sends an event by the signed HTTP API and waits for it. It reports which step fails, and why, and exits with 1 then."
}

// pusherCheck is a check under way.
type pusherCheck struct {
	*pusherCheckCommand
	ctx     context.Context
	conn    *websocket.Conn
	socket  string
	channel string

	listener *net.TCPListener // of webhooks; nil: none is looked at
}

// Run carries out the steps, and prints each.
func (c *pusherCheckCommand) Run(p *program) error {
	if c.Secret == "-" {
		line, err := readLine(p.stdin, 4096)
		if err != nil {
			return err
		}
		c.Secret = strings.TrimSpace(line)
	}
	x := &pusherCheck{pusherCheckCommand: c, channel: "private-weir-check-" + strings.ToLower(rand.Text()[:8])}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	steps := []struct {
		name string
		do   func() error
	}{{"connect", x.connect}, {"subscribe", x.subscribe}, {"channel", x.occupied}, {"send and receive", x.send}}
	if c.Webhook != "" {
		ln, err := net.Listen("tcp", c.Webhook)
		if err != nil {
			return fmt.Errorf("pusher check: %w", err)
		}
		defer func() { _ = ln.Close() }()
		x.listener = ln.(*net.TCPListener)
		steps = append(steps, struct {
			name string
			do   func() error
		}{"webhook", x.webhook})
	}
	for _, s := range steps {
		var done context.CancelFunc
		x.ctx, done = context.WithTimeout(ctx, c.Timeout)
		begun := time.Now()
		err := s.do()
		done()
		if err != nil {
			return fmt.Errorf("pusher check: %s: %w", s.name, err)
		}
		if _, err := fmt.Fprintf(p.stdout, "%-17s ok  (%d ms)\n", s.name, time.Since(begun).Milliseconds()); err != nil {
			return err
		}
	}
	return x.conn.Close(websocket.StatusNormalClosure, "")
}

// connect opens the WebSocket and reads the greeting.
func (x *pusherCheck) connect() error {
	header := http.Header{}
	if x.Origin != "" {
		header.Set("Origin", x.Origin)
	}
	conn, resp, err := websocket.Dial(x.ctx, strings.TrimSuffix(x.URL, "/")+"/app/"+url.PathEscape(x.Key)+"?protocol=7&client=weir-check&version=1", &websocket.DialOptions{HTTPHeader: header})
	if resp != nil && resp.StatusCode == http.StatusNotFound {
		return errors.New("not found: add pusher to systems, and let --url end with pusher.path")
	}
	if err != nil {
		return err
	}
	x.conn = conn
	m, err := x.await("pusher:connection_established")
	if err != nil {
		return err
	}
	var hello struct {
		Socket string `json:"socket_id"`
	}
	if err := json.Unmarshal([]byte(m.text()), &hello); err != nil {
		return fmt.Errorf("pusher:connection_established cannot be decoded: %w", err)
	}
	x.socket = hello.Socket
	return nil
}

// pusherMessage is a message of the relay's.
type pusherMessage struct {
	Event   string          `json:"event"`
	Channel string          `json:"channel"`
	Data    json.RawMessage `json:"data"`
}

// text is the data that stands in a string.
func (m *pusherMessage) text() (s string) {
	if json.Unmarshal(m.Data, &s) != nil {
		return string(m.Data)
	}
	return s
}

// await reads up to an event. An error that comes before is one.
func (x *pusherCheck) await(event string) (*pusherMessage, error) {
	for {
		_, raw, err := x.conn.Read(x.ctx)
		if err != nil {
			if code := websocket.CloseStatus(err); code > 0 {
				return nil, fmt.Errorf("closed with %d: %w", code, err)
			}
			return nil, fmt.Errorf("the event %s did not arrive: %w", event, err)
		}
		m := new(pusherMessage)
		if err := json.Unmarshal(raw, m); err != nil {
			return nil, fmt.Errorf("a message is not JSON: %w", err)
		}
		switch m.Event {
		case event:
			return m, nil
		case "pusher:error", "pusher:subscription_error":
			return nil, fmt.Errorf("refused: %s", m.Data)
		}
	}
}

func (x *pusherCheck) sign(text string) string {
	mac := hmac.New(sha256.New, []byte(x.Secret))
	mac.Write([]byte(text))
	return hex.EncodeToString(mac.Sum(nil))
}

// subscribe subscribes to a private channel.
func (x *pusherCheck) subscribe() error {
	raw, err := json.Marshal(map[string]any{"event": "pusher:subscribe", "data": map[string]string{
		"channel": x.channel, "auth": x.Key + ":" + x.sign(x.socket+":"+x.channel),
	}})
	if err != nil {
		return err
	}
	if err := x.conn.Write(x.ctx, websocket.MessageText, raw); err != nil {
		return err
	}
	_, err = x.await("pusher_internal:subscription_succeeded")
	return err
}

// call makes a signed request.
func (x *pusherCheck) call(method, path, body string) (string, error) {
	query := "auth_key=" + x.Key + "&auth_timestamp=" + strconv.FormatInt(time.Now().Unix(), 10) + "&auth_version=1.0"
	if body != "" {
		sum := md5.Sum([]byte(body)) //nolint:gosec // see above
		query += "&body_md5=" + hex.EncodeToString(sum[:])
	}
	path = "/apps/" + x.App + path
	query += "&auth_signature=" + x.sign(method+"\n"+path+"\n"+query)
	req, err := http.NewRequestWithContext(x.ctx, method, strings.TrimSuffix(x.URL, "/")+path+"?"+query, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	out, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %d %s", method, path, resp.StatusCode, out)
	}
	return string(out), err
}

// occupied asks about the channel.
func (x *pusherCheck) occupied() error {
	out, err := x.call(http.MethodGet, "/channels/"+x.channel, "")
	if err == nil && !strings.Contains(out, `"occupied":true`) {
		err = fmt.Errorf("the channel is not occupied: %s: are connections and requests served by different relays?", out)
	}
	return err
}

// send sends an event and waits for it.
func (x *pusherCheck) send() error {
	if _, err := x.call(http.MethodPost, "/events", `{"name":"weir-check","channels":["`+x.channel+`"],"data":"{\"n\":1}"}`); err != nil {
		return err
	}
	m, err := x.await("weir-check")
	if err == nil && (m.Channel != x.channel || m.text() != `{"n":1}`) {
		err = fmt.Errorf("another event came: %s of %s", m.Data, m.Channel)
	}
	return err
}

// webhook takes the webhooks that have come since the channel became occupied, and those to come, up to one about it.
func (x *pusherCheck) webhook() error {
	deadline, _ := x.ctx.Deadline()
	if err := x.listener.SetDeadline(deadline); err != nil {
		return err
	}
	wrong := errors.New("no webhook arrived: the app needs a webhook with this address and the event channel_occupied")
	server := &http.Server{ReadHeaderTimeout: x.Timeout}
	server.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		if err != nil || !strings.Contains(string(body), x.channel) {
			return // of another channel
		}
		switch {
		case r.Header.Get("X-Pusher-Key") != x.Key:
			wrong = errors.New("the webhook is signed with another key: " + r.Header.Get("X-Pusher-Key"))
		case !hmac.Equal([]byte(r.Header.Get("X-Pusher-Signature")), []byte(x.sign(string(body)))):
			wrong = errors.New("the signature of the webhook is wrong: check --secret")
		default:
			wrong = nil
		}
		_ = x.listener.Close()
	})
	_ = server.Serve(x.listener) // until the handler or the deadline ends it
	if err := server.Shutdown(x.ctx); wrong == nil {
		return err
	}
	return wrong
}
