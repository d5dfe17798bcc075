//go:build e2e

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"

	"weir/internal/freeport"
)

// The guides run as they stand, each below the framework that it is for, before the real binary with the guide's configuration.
// Each block of a page goes into the file that its first line names. What a framework makes for a new application, and what a guide
// takes for granted (users, orders), is in testdata/guides.

// guide is an app made of a guide.
type guide struct {
	page string
	user string                         // whose password is "secret"
	run  []string                       // starts it; PORT is where it is to listen
	wrap func(name, text string) string // what is around a block of a file that is not shown whole
}

func TestE2EGuides(t *testing.T) {
	for _, g := range []guide{
		{page: "express", user: "ann", run: command("node", "app.mjs")},
		{page: "fastapi", user: "ann", run: command("/usr/bin/python3", "-m", "uvicorn", "app:app", "--port", "PORT")},
		{page: "rails", user: "ann", run: command("ruby", "start.rb")},
		{page: "laravel", user: "ann", run: command("php", "start.php"), wrap: php},
		{page: "go", user: "ann", run: command("sh", "-c", "go mod init shop && exec go run .")},
		{page: "django", user: "ann", run: command("/usr/bin/python3", "start.py")},
	} {
		t.Run(g.page, func(t *testing.T) {
			t.Parallel()
			g.exercise(t)
		})
	}
}

func command(line ...string) []string { return line }

// fileName is what the first line of a block says.
var fileName = regexp.MustCompile(`^(?://|#|<!--|\{\{--|<%#)\s*([\w./-]+\.(?:mjs|py|go|rb|php|html|erb|yaml))\b`)

// php is a file of PHP.
func php(name, text string) string {
	switch {
	case name == "config/services.php": // an entry of a list
		return "<?php\nreturn [\n" + text + "];\n"
	case strings.HasSuffix(name, ".php") && !strings.HasSuffix(name, ".blade.php"):
		return "<?php\n" + text
	}
	return text
}

// exercise has a user sign in, follow, publish and sign out, and the backend be told of events, by the relay and by others.
func (g guide) exercise(t *testing.T) {
	dir := g.build(t)
	address := freeport.Address(t)
	_, port, _ := strings.Cut(address, ":")
	base := "http://" + address
	config := filepath.Join(dir, "weir.yaml")
	text := regexp.MustCompile(`http://(localhost|127\.0\.0\.1):3000`).ReplaceAllString(readText(t, config), base)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{"WEIR_API_KEY=" + e2eKey, "WEIR_WEBHOOK_SECRET=" + exampleSecret, "SESSION_SECRET=" + e2eKey, "PORT=" + port}
	relay := startRelay(t, env, "--config", config) // with the variables of the guides in its environment, as a reader has them
	g.start(t, dir, base, port, append(env, "WEIR_URL="+relay.url))

	nobody := newVisitor(t, base)
	if _, status := nobody.connect(relay); status != 401 {
		t.Errorf("connected without a cookie: %d", status)
	}
	if page, _ := nobody.get("/login"); nobody.submit(page, "/login", g.user, "wrong") < 400 && nobody.at == "/" {
		t.Error("signed in with a wrong password")
	}
	ann := newVisitor(t, base)
	ann.signIn(g.user)
	second := newVisitor(t, base) // another device
	second.signIn(g.user)

	// The cookie counts from the app's own pages.
	for _, origin := range []string{"", "https://evil.example.com"} {
		if _, status := ann.from(origin).connect(relay); status != 403 {
			t.Errorf("connected from %q: %d", origin, status)
		}
	}
	a, status := ann.connect(relay)
	if a == nil {
		t.Fatalf("not connected: %d", status)
	}
	hello := a.until(func(m peerMessage) bool { return m["type"] == "connected" })
	user, _ := hello["userId"].(string)
	b, _ := second.connect(relay)
	if user == "" || b == nil {
		t.Fatalf("%v %v", hello, b)
	}

	// What the answer to connect says, and what the backend is asked about.
	orders := "orders:" + user
	for channel, code := range map[string]any{orders: nil, "orders:no-one": "forbidden", "room:1": nil, "room:2": "forbidden"} {
		if m := a.ask("subscribe", channel, ""); m["code"] != code {
			t.Errorf("subscribe %s: %v", channel, m)
		}
	}
	b.ask("subscribe", "room:1", "")

	// The app publishes.
	page, _ := ann.get("/")
	if status := ann.submit(page, "/orders", "book", ""); status != 200 {
		t.Fatalf("the order was not taken: %d", status)
	}
	if said := fmt.Sprint(a.until(func(m peerMessage) bool { return strings.Contains(fmt.Sprint(m), "book") })); !strings.Contains(said, "item:book") || !strings.Contains(said, "state:new") {
		t.Errorf("came: %s", said)
	}

	// A client publishes, and the backend rewrites it.
	if m := a.ask("publish", "room:1", `{"text":"  hello <b>\u2028 Zoë "}`); m["type"] != "ok" {
		t.Errorf("publish: %v", m)
	}
	if said := fmt.Sprint(b.until(func(m peerMessage) bool { return strings.Contains(fmt.Sprint(m), "Zoë") })); !strings.Contains(strings.ToLower(said), "from:"+g.user) || !strings.Contains(said, "text:hello <b>\u2028 Zoë]") {
		t.Errorf("came: %s", said)
	}
	if m := a.ask("publish", "room:1", `{"text":" "}`); m["code"] != "forbidden" || m["message"] != "say something" {
		t.Errorf("publish: %v", m)
	}
	if m := a.ask("publish", "room:2", `{"text":"hello"}`); m["code"] != "forbidden" {
		t.Errorf("publish: %v", m)
	}

	g.events(t, relay, base, orders)

	// Chromium runs the page, of the second device's session as well.
	cmd := exec.Command("node", "guide.mjs", base, g.user)
	cmd.Dir = filepath.Join("testdata", "e2e")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("guide.mjs: %v\n%s", err, out)
	}

	// Signing out ends the connections of this session, and no other's.
	page, _ = ann.get("/")
	ann.submit(page, "/logout", "", "")
	if code := a.closed(); code != 4001 {
		t.Errorf("closed with %d", code)
	}
	if _, status := ann.connect(relay); status != 401 {
		t.Errorf("connected with the cookie of a session that is over: %d", status)
	}
	resume, _ := hello["resume"].(string)
	if _, status := ann.connect(relay, "resume="+resume); status != 401 || resume == "" {
		t.Errorf("connected with a ticket of a session that is over: %d", status)
	}
	if m := b.ask("ping", "", ""); m["type"] != "pong" {
		t.Errorf("the other device: %v", m)
	}
	if strings.Contains(relay.log.String(), "ession=") {
		t.Error("the log shows a cookie")
	}
}

// events has the app be told of events: by the relay, and by others who have no secret.
func (g guide) events(t *testing.T, relay *daemon, base, channel string) {
	t.Helper()
	const events = 12
	state := func(i int) string { return fmt.Sprintf("paid %d, Zoë \u2028 ok", i) }
	for i := range events {
		if status := relay.call(t, e2eKey, "POST", "/v1/events", fmt.Sprintf(`{"topic":"order.paid","key":"order:1","data":{"order":1,"state":%q}}`, state(i)), nil); status != 202 {
			t.Fatal(status)
		}
	}
	now := func() string {
		var items struct {
			State map[string]map[string]struct{ Item, State string }
		}
		relay.call(t, e2eKey, "GET", "/v1/channels/"+channel, "", &items)
		return items.State["orders"]["1"].State
	}
	eventually(t, "events that the app was told of", func() bool { return now() == state(events-1) })
	// What nobody has signed, what was signed for something else, and what is old.
	const id = "msg_1"
	body := `{"id":"msg_1","type":"order.paid","data":{"order":1,"state":"stolen"}}`
	at := fmt.Sprint(time.Now().Unix())
	for name, h := range map[string]http.Header{
		"nothing":          {},
		"no signature":     {"Webhook-Id": {id}, "Webhook-Timestamp": {at}, "Webhook-Signature": {""}},
		"a wrong one":      {"Webhook-Id": {id}, "Webhook-Timestamp": {at}, "Webhook-Signature": {"v1,AAAA v1, v2,x"}},
		"of another body":  signedHeader(t, id, at, body+" "),
		"of another id":    withID(signedHeader(t, "msg_2", at, body)),
		"an hour old":      signedHeader(t, id, fmt.Sprint(time.Now().Unix()-3600), body),
		"of no time":       signedHeader(t, id, "NaN", body),
		"of an empty time": signedHeader(t, id, "", body),
	} {
		h.Set("Content-Type", "application/json")
		for _, path := range []string{"/weir/events", "/weir/connect", "/weir/subscribe", "/weir/publish"} {
			if status, answer := ask(t, "POST", base+path, body, h.Clone()); status != 401 {
				t.Errorf("%s signed with %s: %d %s", path, name, status, answer)
			}
		}
	}
	if got := now(); got != state(events-1) {
		t.Errorf("the state is %q", got)
	}
	good := signedHeader(t, id, at, strings.Replace(body, "stolen", "good", 1))
	good.Set("Content-Type", "application/json")
	if status, answer := ask(t, "POST", base+"/weir/events", strings.Replace(body, "stolen", "good", 1), good); status != 204 {
		t.Errorf("well signed: %d %s", status, answer)
	}
	eventually(t, "state of a well signed event", func() bool { return now() == "good" })
}

// build writes the guide's files into a directory, beside those of a new application.
func (g guide) build(t *testing.T) (dir string) {
	t.Helper()
	dir, err := os.MkdirTemp(filepath.Join("testdata", "e2e"), "guide") // beside node_modules
	if err != nil {
		t.Fatal(err)
	}
	if dir, err = filepath.Abs(dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if skeleton := filepath.Join("testdata", "guides", g.page); isDir(skeleton) {
		if err := os.CopyFS(dir, os.DirFS(skeleton)); err != nil {
			t.Fatal(err)
		}
	}
	files := make(map[string]string)
	for _, s := range samples(t, filepath.Join("../../docs/guides", g.page+".md")) {
		if s.lang == "sh" {
			continue
		}
		m := fileName.FindStringSubmatch(s.text)
		if m == nil {
			t.Fatalf("%s:%d: the first line names no file", s.page, s.line)
		}
		text := s.text
		if g.wrap != nil {
			text = g.wrap(m[1], text)
		}
		files[m[1]] += text + "\n"
	}
	for name, text := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		before, err := os.ReadFile(file) // a file of a new application that the guide adds to
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, append(before, text...), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// start runs the app until the end of the test.
func (g guide) start(t *testing.T, dir, base, port string, env []string) {
	t.Helper()
	cmd := exec.Command(g.run[0], g.run[1:]...)
	for i, word := range cmd.Args {
		cmd.Args[i] = strings.ReplaceAll(word, "PORT", port)
	}
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // go run has a child
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { // ends with the process; waited for in the clean-up
		defer close(ended)
		_ = cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-ended
		if t.Failed() {
			t.Logf("the guide's program said:\n%s", said.String())
		}
	})
	deadline := time.Now().Add(60 * time.Second)
	for {
		if resp, err := http.Get(base + "/login"); err == nil {
			resp.Body.Close()
			return
		}
		select {
		case <-ended:
			t.Fatal("the guide's program has ended")
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatal("the guide's program does not listen")
		}
	}
}

// peerMessage is a message of the relay.
type peerMessage map[string]any

// peer is a WebSocket of a client. It is read all the time, so that it replies to pings.
type peer struct {
	t    *testing.T
	conn *websocket.Conn
	ids  int
	got  chan peerMessage // what has come; closed when nothing more comes
	err  error            // why; read after got is closed
}

func newPeer(t *testing.T, conn *websocket.Conn) *peer {
	conn.SetReadLimit(1 << 20)
	p := &peer{t: t, conn: conn, got: make(chan peerMessage, 1000)}
	t.Cleanup(func() { _ = conn.CloseNow() })
	go func() { // ends with the connection
		defer close(p.got)
		for {
			m := make(peerMessage)
			if p.err = wsjson.Read(context.Background(), conn, &m); p.err != nil {
				return
			}
			p.got <- m
		}
	}()
	return p
}

func (p *peer) read() (peerMessage, error) {
	select {
	case m, ok := <-p.got:
		if !ok {
			return nil, p.err
		}
		return m, nil
	case <-time.After(time.Minute):
		return nil, errors.New("nothing comes")
	}
}

// until reads up to a message.
func (p *peer) until(fits func(peerMessage) bool) peerMessage {
	p.t.Helper()
	for {
		m, err := p.read()
		if err != nil {
			p.t.Fatal(err)
		}
		if fits(m) {
			return m
		}
	}
}

// ask sends a command and returns the answer.
func (p *peer) ask(kind, channel, data string) peerMessage {
	p.t.Helper()
	p.ids++
	m := fmt.Sprintf(`{"type":%q,"id":%d`, kind, p.ids)
	if channel != "" {
		m += fmt.Sprintf(`,"channel":%q`, channel)
	}
	if data != "" {
		m += `,"data":` + data
	}
	if err := p.conn.Write(p.t.Context(), websocket.MessageText, []byte(m+"}")); err != nil {
		p.t.Fatal(err)
	}
	return p.until(func(m peerMessage) bool { return m["id"] == float64(p.ids) })
}

// closed is the code that the relay closes with.
func (p *peer) closed() int {
	for {
		if _, err := p.read(); err != nil {
			return int(websocket.CloseStatus(err))
		}
	}
}
