//go:build e2e

package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The guides run as they stand, each below the framework that it is for, before the real binary. What a guide leaves to
// its reader (who is logged in, the database) is in testdata/docs: a part before the guide's code, and one behind it.

// guide is a backend made of a guide.
type guide struct {
	page  string                           // in docs/guides
	langs string                           // of the blocks that are its code
	file  string                           // that the code goes into, with testdata/docs/file.before and .after around it
	run   func(dir, file string) *exec.Cmd // starts it; it listens on $PORT
	batch int                              // events that its webhook takes in one request
}

func TestE2EGuides(t *testing.T) {
	for _, g := range []guide{
		{page: "express.md", langs: "js", file: "express.mjs", run: runs("node")},
		{page: "fastapi.md", langs: "python", file: "fastapi_guide.py", run: runs("/usr/bin/python3"), batch: 10},
		{page: "go.md", langs: "go", file: "push.go", run: goProgram, batch: 10},
		{page: "rails.md", langs: "ruby", file: "rails.rb", run: runs("ruby")},
		{page: "laravel.md", langs: "php", file: "laravel.php", run: phpProgram, batch: 10},
	} {
		t.Run(strings.TrimSuffix(g.page, ".md"), func(t *testing.T) { g.exercise(t) })
	}
}

func runs(name string, args ...string) func(dir, file string) *exec.Cmd {
	return func(_, file string) *exec.Cmd { return exec.Command(name, append(args, file)...) }
}

// phpProgram serves with PHP's own server, which asks the file about each request.
func phpProgram(_, file string) *exec.Cmd {
	return exec.Command("php", "-S", "127.0.0.1:"+os.Getenv("PORT"), file)
}

// exercise lets the guide's backend sign a token, publish, and be told of events, by the relay and by others.
func (g guide) exercise(t *testing.T) {
	address := freeAddress(t)
	_, port, _ := strings.Cut(address, ":")
	base := "http://" + address
	config := filepath.Join(t.TempDir(), "weir.yaml")
	text := fmt.Sprintf("namespaces: {orders: {subscribe: capability, publish: backend}}\nwebhooks:\n  - {name: guide, url: %q, topics: [order.*], secrets: [%s], batch: %d}\n"+
		"hooks: {url: %q, allow_insecure: true, secrets: [%s], cookies: [session], ask: [connect]}\norigins: [https://shop.example.com]\n",
		base+"/weir/events", exampleSecret, max(g.batch, 1), base+"/weir", exampleSecret)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("WEIR_AUTH_SECRET", e2eKey)
	t.Setenv("WEIR_API_KEY", e2eKey)
	t.Setenv("WEIR_WEBHOOK_SECRET", exampleSecret)
	t.Setenv("PORT", port)
	t.Setenv("WEIR_URL", "http://127.0.0.1:1")  // not known yet; a reader has it beside the others
	relay := startDaemon(t, "--config", config) // with the variables of the guides in its environment, as a reader has them
	t.Setenv("WEIR_URL", relay.url)
	g.start(t, base)

	status, token := ask(t, "GET", base+"/weir-token", "", nil)
	if status != 200 {
		t.Fatalf("no token: %d %s", status, token)
	}
	if status := relay.call(t, strings.TrimSpace(token), "POST", "/command", `{"type":"history","channel":"orders:7"}`, nil); status != 200 {
		t.Errorf("the token may not read: %d", status)
	}
	if status := relay.call(t, strings.TrimSpace(token), "POST", "/command", `{"type":"history","channel":"orders:8"}`, nil); status != 403 {
		t.Errorf("the token may read what is another's: %d", status)
	}

	g.signIn(t, relay)
	if status, body := ask(t, "POST", base+"/orders", `{"item":"book"}`, http.Header{"Content-Type": {"application/json"}}); status/100 != 2 {
		t.Fatalf("the order was not taken: %d %s", status, body)
	}
	var state struct {
		State map[string]map[string]struct{ Item string }
	}
	eventually(t, "published order", func() bool {
		relay.call(t, e2eKey, "GET", "/v1/channels/orders:7", "", &state)
		return state.State["orders"]["17"].Item == "book"
	})

	const events = 12
	for i := range events {
		if status := relay.call(t, e2eKey, "POST", "/v1/events", fmt.Sprintf(`{"topic":"order.paid","key":"order:17","data":{"n":%d,"text":"Zoë \u2028 ok"}}`, i), nil); status != 202 {
			t.Fatal(status)
		}
	}
	taken := func() (list [][3]any) {
		_, body := ask(t, "GET", base+"/taken", "", nil)
		if err := json.Unmarshal([]byte(body), &list); err != nil {
			t.Fatalf("%v: %s", err, body)
		}
		return list
	}
	eventually(t, "taken events", func() bool { return len(taken()) == events })
	for i, e := range taken() {
		data, _ := e[2].(map[string]any)
		if id, _ := e[0].(string); !strings.HasPrefix(id, "msg_") || e[1] != "order.paid" || data["n"] != float64(i) || data["text"] != "Zoë \u2028 ok" {
			t.Errorf("event %d is %v", i, e)
		}
	}
	// What nobody has signed, what was signed for something else, and what is old.
	body := `{"id":"msg_1","type":"order.paid","data":{}}`
	now := fmt.Sprint(time.Now().Unix())
	for name, h := range map[string]http.Header{
		"nothing":          {},
		"no signature":     {"Webhook-Id": {"msg_1"}, "Webhook-Timestamp": {now}, "Webhook-Signature": {""}},
		"a wrong one":      {"Webhook-Id": {"msg_1"}, "Webhook-Timestamp": {now}, "Webhook-Signature": {"v1,AAAA v1, v2,x"}},
		"of another body":  signedHeader(t, "msg_1", now, body+" "),
		"of another id":    withID(signedHeader(t, "msg_2", now, body)),
		"an hour old":      signedHeader(t, "msg_1", fmt.Sprint(time.Now().Unix()-3600), body),
		"of no time":       signedHeader(t, "msg_1", "NaN", body),
		"of an empty time": signedHeader(t, "msg_1", "", body),
	} {
		h.Set("Content-Type", "application/json")
		if status, answer := ask(t, "POST", base+"/weir/events", body, h); status != 401 {
			t.Errorf("signed with %s: %d %s", name, status, answer)
		}
	}
	good := signedHeader(t, "msg_1", now, body)
	good.Set("Content-Type", "application/json")
	if status, answer := ask(t, "POST", base+"/weir/events", body, good); status != 204 {
		t.Errorf("well signed: %d %s", status, answer)
	}
	if n := len(taken()); n != events+1 {
		t.Errorf("%d were taken", n)
	}
}

// signIn has a client come with the cookie of a session and without any token.
func (g guide) signIn(t *testing.T, relay *daemon) {
	t.Helper()
	for _, c := range []struct {
		cookie, origin, channel string
		want                    int
	}{
		{"session=of-ann", "https://shop.example.com", "orders:7", 200},
		{"session=of-ann", "https://shop.example.com", "orders:8", 403},
		{"session=of-nobody", "https://shop.example.com", "orders:7", 401},
		{"session=of-ann", "https://evil.example.com", "orders:7", 403},
		{"session=of-ann", "", "orders:7", 403},
		{"", "https://shop.example.com", "orders:7", 401},
	} {
		h := http.Header{"Content-Type": {"application/json"}}
		for name, value := range map[string]string{"Cookie": c.cookie, "Origin": c.origin} {
			if value != "" {
				h.Set(name, value)
			}
		}
		if status, body := ask(t, "POST", relay.url+"/command", fmt.Sprintf(`{"type":"history","channel":%q}`, c.channel), h); status != c.want {
			t.Errorf("%+v: %d %s", c, status, body)
		}
	}
}

// start writes the guide's program and runs it until the end of the test.
func (g guide) start(t *testing.T, base string) {
	t.Helper()
	dir, err := os.MkdirTemp(filepath.Join("testdata", "e2e"), "guide") // beside node_modules
	if err != nil {
		t.Fatal(err)
	}
	if dir, err = filepath.Abs(dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	var code []string
	for _, s := range samples(t, filepath.Join("../../docs/guides", g.page)) {
		if s.lang == g.langs {
			code = append(code, s.text)
		}
	}
	part := func(name string) string {
		b, err := os.ReadFile(filepath.Join("testdata", "docs", g.file+name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	file := filepath.Join(dir, g.file)
	text := part(".before") + "\n" + strings.Join(code, "\n") + "\n" + part(".after")
	if g.langs == "go" {
		goModule(t, dir, code, part(".before"))
	} else if g.langs == "php" {
		phpFiles(t, dir, code)
		text = part(".before") + part(".after")
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := g.run(dir, file)
	cmd.Dir = dir
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
		if resp, err := http.Get(base + "/taken"); err == nil {
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

// goModule puts the guide's package and a program that uses it into a directory.
func goModule(t *testing.T, dir string, code []string, main string) {
	t.Helper()
	write := func(name, text string) {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	sum, err := os.ReadFile("../../go.sum")
	if err != nil {
		t.Fatal(err)
	}
	write("go.mod", strings.Replace(string(mod), "module weir", "module shop", 1))
	write("go.sum", string(sum))
	for i, text := range code {
		write(fmt.Sprintf("push/push%d.go", i), text)
	}
	write("main.go", main)
}

func goProgram(dir, _ string) *exec.Cmd {
	_ = os.Remove(filepath.Join(dir, "push.go"))
	return exec.Command("go", "run", "-mod=mod", ".")
}

// ask sends a request to a backend.
func ask(t *testing.T, method, url, body string, h http.Header) (status int, answer string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if h != nil {
		req.Header = h
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(raw)
}

// signedHeader is what weir sends with a body.
func signedHeader(t *testing.T, id, at, body string) http.Header {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(exampleSecret, "whsec_"))
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", id, at, body)
	return http.Header{"Webhook-Id": {id}, "Webhook-Timestamp": {at}, "Webhook-Signature": {"v1,other v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))}}
}

func withID(h http.Header) http.Header {
	h.Set("Webhook-Id", "msg_1")
	return h
}

// phpFiles puts each block into the file that its first line names, as a project has them.
func phpFiles(t *testing.T, dir string, code []string) {
	t.Helper()
	for _, text := range code {
		line, rest, _ := strings.Cut(text, "\n")
		name := strings.TrimRight(strings.Fields(line)[1], ":,")
		switch name {
		case "config/services.php":
			rest = "return [\n" + rest + "];\n"
		case "app/Jobs/PublishOrder.php":
			rest = "namespace App\\Jobs;\nuse App\\Services\\Weir;\nclass PublishOrder extends Job {\n" + rest + "}\n"
		}
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("<?php\n"+rest), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
