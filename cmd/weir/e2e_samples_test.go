//go:build e2e

package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Every block of code in the README and in docs runs as it stands, before the real binary, with as little around it as
// it takes; only addresses are replaced. One without a recipe is an error, so that a new one gets one. Guides have a test
// of their own, configurations another.

// recipe is how a sample is run, and what is to come of it.
type recipe struct {
	before, after string   // code around it
	want          []string // that its output holds
	endless       bool     // it does not end by itself: it has done its part when the output holds what is wanted
	token         bool     // a line of the output is a token of the user ann
	item          string   // channel/group/key that it has published
	files         string   // page and number of a configuration, which it finds as weir.yaml
	skip          string   // why it is not run
}

const (
	useWS     = "import WebSocket from 'ws'\nglobalThis.WebSocket ??= WebSocket\nconst token = process.env.TOKEN\n"
	asTicket  = "globalThis.fetch = ((real) => (path, ...more) => path === '/my-backend/ticket' ? real(process.env.WEIR_URL + '/v1/tickets', { method: 'POST', headers: { authorization: 'Bearer ' + process.env.WEIR_API_KEY }, body: '{\"userId\":\"ann\"}' }) : real(path, ...more))(fetch)\nimport { EventSource } from 'eventsource'\n"
	asToken   = "globalThis.fetch = ((real) => (path, ...more) => /^\\/(my-backend\\/)?weir-token$/.test(path) ? new Response(process.env.TOKEN) : real(path, ...more))(fetch)\n"
	publishes = "\nsetInterval(() => fetch(process.env.WEIR_URL + '/v1/publish', { method: 'POST', headers: { authorization: 'Bearer ' + process.env.WEIR_API_KEY }, body: JSON.stringify({ channel: 'CHANNEL', data: { text: 'hello from the test' } }) }), 200)\n"
)

func said(channel string) string { return strings.Replace(publishes, "CHANNEL", channel, 1) }

var recipes = map[string]recipe{
	"README.md sh 1": {skip: "it builds and starts what these tests run"},
	"README.md sh 2": {want: []string{`"position"`}},
	"README.md js 1": {before: useWS, after: said("demo:lobby"), want: []string{"hello from the test"}, endless: true},
	"README.md sh 3": {want: []string{"event: connected", "event: subscribed"}},
	"README.md sh 4": {files: "README.md 1", want: []string{"weir.yaml: ok", `"ready"`}},
	"README.md sh 5": {item: "room:42/messages/m1"},
	"README.md sh 6": {skip: "it takes all processors; TestE2EScenarios runs every scenario"},

	"docs/backends.md sh 1":     {files: "docs/backends.md 1", want: []string{"weir.yaml: ok", `"ready"`}},
	"docs/backends.md sh 2":     {want: []string{`"position"`, `"ticket"`, "event: connected", "event: subscribed"}},
	"docs/backends.md sh 3":     {want: []string{`{"code":"bad_channel","message":`, `"line":2}`}},
	"docs/backends.md sh 4":     {want: []string{`{"code":"bad_channel","message":`, `"line":2}`, `{"accepted":1,"position":{"epoch":`}},
	"docs/backends.md sh 5":     {want: []string{`{"answers":[{"channel":"news:1","position":{`, `"failed":0}`}},
	"docs/mercure.md sh 1":      {want: []string{"urn:uuid:", `data: {"stock":3}`}, endless: true},
	"docs/tools.md sh 1":        {skip: "TestE2EPubSub runs these commands"},
	"docs/tools.md sh 2":        {skip: "TestE2EDoctor runs it, behind proxies that are right and wrong"},
	"docs/tools.md sh 3":        {skip: "TestE2EWhy runs it"},
	"docs/tools.md sh 4":        {skip: "TestE2ETrace runs it"},
	"docs/tools.md sh 5":        {skip: "TestE2ETop runs it"},
	"docs/outbox.md sh 1":       {skip: "it needs a database; the tests of relay/systems/outbox have one"},
	"docs/backends.md js 1":     {want: []string{"position:", "ticket:"}, token: true, item: "room:42/messages/m2"},
	"docs/backends.md python 1": {want: []string{"'position':", "'ticket':"}, token: true, item: "room:42/messages/m3"},
	"docs/backends.md php 1":    {want: []string{"[position] =>", "[ticket] =>"}, token: true, item: "room:42/messages/m4"},
	"docs/backends.md go 1":     {want: []string{"\n{"}, token: true, item: "room:42/messages/m5"},
	"docs/backends.md js 2":     {before: strings.Replace(useWS, "const token = process.env.TOKEN", "", 1) + asToken, after: said("room:42"), want: []string{"'subscribed'", "hello from the test"}, endless: true},

	"docs/bench.md sh 1":             {skip: "it starts what these tests run"},
	"docs/bench.md sh 2":             {skip: "it takes all processors; TestE2EScenarios runs every scenario"},
	"docs/bench.md sh 3":             {skip: "it is for a server of the reader's; TestBenchPageSamples reads its file"},
	"docs/bench.md sh 4":             {skip: "it is for a server of the reader's"},
	"docs/bench.md sh 5":             {skip: "it is for a server of the reader's"},
	"docs/bench.md sh 6":             {skip: "it is for a server of the reader's"},
	"docs/bench.md sh 7":             {skip: "it is for traffic of the reader's; the tests of loadtest/replay play some"},
	"docs/bench.md sh 8":             {skip: "it is for other machines; the tests of loadtest/agent have some in network namespaces"},
	"docs/bench.md sh 9":             {skip: "it is for other machines; the tests of loadtest/agent have some in network namespaces"},
	"docs/bench.md sh 10":            {skip: "it compares two builds; TestCompareExitCodes does what it does"},
	"docs/benchmarks.md sh 1":        {skip: "it is a list of what was measured, with servers of others"},
	"docs/performance.md sh 1":       {want: []string{"µs"}},
	"docs/performance.md sh 2":       {skip: "it takes all processors, to profile them"},
	"docs/sizing.md sh 1":            {skip: "it takes all processors; TestE2EScenarios runs every scenario"},
	"docs/systems.md sh 4":           {skip: "it takes all processors; TestE2EScenarios runs every scenario"},
	"docs/writing-a-system.md go 1":  {skip: "Example_system is this code, and is run; TestGuideShowsTheExample holds that"},
	"docs/writing-a-dialect.md go 1": {skip: "Example_dialect is this code, and is run; TestGuideShowsTheExample holds that"},
	"docs/writing-a-system.md go 2":  {skip: "two lines of a system that is not on the page; TestRequestAtOwner has such a route in three nodes"},
	"docs/writing-a-system.md sh 1":  {skip: "it is for a relay with the system that the page writes; Example_system asks it the same"},
	"docs/deploying.md sh 1":         {skip: "it installs a system service"},
	"docs/deploying.md sh 2":         {skip: "it installs a package; make release tries what is in it"},
	"docs/deploying.md sh 3":         {skip: "it takes a container engine; make release starts the image so"},
	"docs/configuration.md sh 2":     {skip: "it listens on all addresses; make release starts the image so"},

	"docs/client.md js 1": {before: useWS + asToken, after: "\nconsole.log('all of it')\n" + said("room:42"), want: []string{"all of it", "hello from the test"}, endless: true},
	"docs/client.md js 2": {
		before: useWS + "import { connect } from 'WEIRJS'\nconst weir = connect(process.env.WEIR_URL, { token: async () => token })\nconst useSyncExternalStore = (follow, get) => { follow(() => {}); console.log('store', get()) }\n",
		want:   []string{"store Map"}, endless: true,
	},
	"docs/client.md js 3": {skip: "TestE2ETabs has eight tabs that do so"},
	"docs/client.md js 4": {skip: "it is for a page; the demo of documents is the same, in TestE2EBrowser"},
	"docs/client.md js 5": {skip: "it is for a page; the client's own tests have the same"},

	"docs/configuration.md sh 1": {files: "docs/backends.md 1", want: []string{"weir.yaml: ok", "# file weir.yaml:", `"ready"`}},
	"docs/documents.md js 1": {
		before: useWS + "import { createRequire } from 'node:module'\nconst require = createRequire(import.meta.url)\n",
		after:  "\ndoc.subscribe(() => doc.type ? 0 : doc.create('a text', 'text-unicode', (error) => console.log('created', error, doc.data)))\n", want: []string{"created undefined a text"}, endless: true,
	},
	"docs/documents.md js 2": {
		before: useWS + "import * as Y from 'yjs'\nimport { WebsocketProvider } from 'y-websocket'\nconst ydoc = new Y.Doc()\nydoc.getText('t').insert(0, 'typed')\n",
		after: "const other = new Y.Doc()\nnew WebsocketProvider('wss://relay.example.com/documents/yjs', 'd1', other, { protocols: ['weir', 'token.' + token], disableBc: true })\n" +
			"setInterval(() => other.getText('t').toString() === 'typed' && console.log('synced'), 50)\n",
		want: []string{"synced"}, endless: true,
	},
	"docs/documents.md js 3": {
		before: "import * as Y from 'yjs'\nconst ytext = new Y.Doc().getText('t')\n",
		after:  "\nytext.insert(0, 'a\\ud83d')\nconsole.log(ytext.toString() === 'a\\ufffd' ? 'mended' : ytext.toString())\n", want: []string{"mended"},
	},
	"docs/notifications.md sh 1": {want: []string{`{"id":"ntf_`}},
	"docs/notifications.md js 1": {skip: "it needs a push service; TestE2ENodePush has the same by a library of others"},
	"docs/notifications.md sh 2": {want: []string{"private ", "public "}},
	"docs/protocol.md js 1":      {before: useWS, after: said("demo:doc"), want: []string{"hello from the test"}, endless: true},
	"docs/protocol.md js 2":      {before: asTicket + "const start = () => {}, take = () => {}, change = () => {}\n", after: said("demo:doc"), want: []string{}, endless: true},
	"docs/systems.md sh 1":       {want: []string{`"content":"hello"`}},
	"docs/systems.md sh 2":       {want: []string{`{"id":"post-17","position":`, `{"answers":[{"userId":"ann","id":"post-18",`}},
	"docs/systems.md js 1": {
		before: "const show = (...what) => console.log('shown', ...what)\n" + asTicket,
		after:  "\nsetInterval(() => fetch(process.env.WEIR_URL + '/v1/feed/ann', { method: 'POST', headers: { authorization: 'Bearer ' + process.env.WEIR_API_KEY }, body: '{\"type\":\"post\",\"data\":{\"text\":\"hello\"}}' }), 200)\n",
		want:   []string{"shown { text: 'hello' }"}, endless: true,
	},
	"docs/systems.md sh 3": {want: []string{}},
	"docs/webhooks.md js 1": {
		after: "\nconst key = Buffer.from('C2FVsBQIhrscChlQIMV+b5sSYspob7oD', 'base64'), now = String(Math.floor(Date.now() / 1000))\n" +
			"const sign = (id, time, body) => ({ 'webhook-id': id, 'webhook-timestamp': time, 'webhook-signature': 'v1,x v1,' + createHmac('sha256', key).update(`${id}.${time}.${body}`).digest('base64') })\n" +
			"const v = (headers, body) => verify('whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD', headers, Buffer.from(body))\n" +
			"console.log(v(sign('a', now, '{}'), '{}'), v(sign('a', now, '{}'), '{ }'), v(sign('a', '1', '{}'), '{}'), v(sign('a', 'x', '{}'), '{}'), v({}, '{}'))\n",
		want: []string{"true false false false false"},
	},
	"docs/tokens.md js 1":                  {token: true},
	"docs/tokens.md python 1":              {token: true},
	"docs/tokens.md ruby 1":                {token: true},
	"docs/tokens.md go 1":                  {token: true},
	"docs/webhooks.md sh 1":                {want: []string{`"webhooks":[{"name":"shop"`, `"replayed":0`}},
	"docs/motia.md js 1":                   {skip: "TestE2EMotiaApp runs the app with it"},
	"docs/motia.md js 2":                   {skip: "TestE2EMotiaIII runs it"},
	"docs/motia.md sh 1":                   {want: []string{`"position"`}},
	"docs/examples/motia/README.md sh 1":   {skip: "TestE2EMotiaApp runs the app"},
	"docs/examples/motia/README.md sh 2":   {skip: "TestE2EMotiaApp asks the app the same"},
	"docs/examples/backend/README.md sh 1": {skip: "TestE2EExampleAsItsPageSays runs it"},
}

// languages are those of blocks that run; what others hold is shown, not run.
var languages = map[string]func(t *testing.T, w *workshop, text string) *exec.Cmd{
	"sh": func(t *testing.T, w *workshop, text string) *exec.Cmd {
		return w.program(t, "sample.sh", "set -eu\n"+text, "bash")
	},
	"js": func(t *testing.T, w *workshop, text string) *exec.Cmd {
		return w.program(t, "sample.mjs", text, "node")
	},
	"python": func(t *testing.T, w *workshop, text string) *exec.Cmd {
		return w.program(t, "sample.py", text, "/usr/bin/python3")
	},
	"ruby": func(t *testing.T, w *workshop, text string) *exec.Cmd {
		return w.program(t, "sample.rb", text, "ruby")
	},
	"php": func(t *testing.T, w *workshop, text string) *exec.Cmd {
		return w.program(t, "sample.php", text, "php")
	},
	"go": func(t *testing.T, w *workshop, text string) *exec.Cmd {
		return w.program(t, "sample.go", text, "go", "run")
	},
}

// shown are the languages of blocks that are not code of the reader's.
var shown = map[string]string{
	"": "what is said and drawn", "json": "what is said", "yaml": "TestEveryConfigurationOnAPagePasses", "html": "a part of a page", "haproxy": "a proxy that is not installed",
	"yml": "TestBenchPageSamples", "ts": "types, as a strict project of the client's tests has them", "tsx": "likewise; TestE2EFrameworks has such components",
	"sql": "statements, as the tests of relay/systems/outbox make them",
}

// workshop is where samples run: a relay, and a directory with what they find in their own.
type workshop struct {
	relay *daemon
	dir   string
	env   []string
}

func TestE2ESamples(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t)
	numbers := make(map[string]int)
	used := make(map[string]bool)
	for _, page := range pages(t) {
		if strings.Contains(page, "/guides/") {
			continue // TestE2EGuides
		}
		for _, s := range samples(t, page) {
			if _, ok := shown[s.lang]; ok {
				continue
			}
			kind := s.page + " " + s.lang
			numbers[kind]++
			name := fmt.Sprintf("%s %d", kind, numbers[kind])
			r, ok := recipes[name]
			used[name] = true
			if !ok || languages[s.lang] == nil {
				t.Errorf("%s:%d: there is no recipe for %q: every sample is run", s.page, s.line, name)
				continue
			}
			if r.skip == "" {
				t.Run(name, func(t *testing.T) { w.cook(t, s, r) })
			}
		}
	}
	for name := range recipes {
		if !used[name] {
			t.Errorf("there is no sample for the recipe %q", name)
		}
	}
}

func newWorkshop(t *testing.T) *workshop {
	t.Helper()
	dir, err := os.MkdirTemp(filepath.Join("testdata", "e2e"), "samples") // beside node_modules
	if err != nil {
		t.Fatal(err)
	}
	if dir, err = filepath.Abs(dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	keys := []string{"WEIR_AUTH_SECRET=" + e2eKey, "WEIR_API_KEY=" + e2eKey}
	w := &workshop{dir: dir}
	w.write(t, "relay.yaml", configuration(t, "docs/webhooks.md", 1)+"\nnamespaces: {default: {subscribe: authenticated, publish: authenticated, history: {size: 4096}}}\n")
	text := strings.Replace(readText(t, filepath.Join(dir, "relay.yaml")), "systems: [webhook]\n", "", 1) // all of them: it is for development
	w.write(t, "relay.yaml", text)
	w.relay = startRelay(t, keys, "--dev", "--config", filepath.Join(dir, "relay.yaml"))
	bin, err := filepath.Abs(binary(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"token-secret", "api-key"} {
		w.write(t, "etc/"+name, name+e2eKey)
	}
	// What never ends has a while: weir serve, and a stream that curl reads.
	w.write(t, "shims/weir", "#!/bin/sh\ncase $1 in serve) timeout -s TERM 2 "+bin+" \"$@\" 2>&1 || [ $? = 124 ];; *) exec "+bin+" \"$@\";; esac\n")
	w.write(t, "shims/curl", "#!/bin/sh\ncase \" $* \" in *' -N '*) timeout 2 "+lookPath(t, "curl")+" -sS \"$@\" || [ $? = 124 ];; *) exec "+lookPath(t, "curl")+" -sS \"$@\";; esac\n")
	w.write(t, "bin/weir", "#!/bin/sh\nexec "+bin+" \"$@\"\n")
	w.env = append(os.Environ(), append(keys, "PATH="+filepath.Join(dir, "shims")+":"+os.Getenv("PATH"), "WEIR_URL="+w.relay.url)...)
	issue := exec.Command(bin, "token", "--dev", "--sub", "ann", "--name", "Ann", "--channel", "*:subscribe,publish,history,presence")
	issue.Env = w.env
	token, err := issue.Output()
	if err != nil {
		t.Fatal(err)
	}
	w.env = append(w.env, "TOKEN="+strings.TrimSpace(string(token)))
	return w
}

func (w *workshop) write(t *testing.T, name, text string) {
	t.Helper()
	file := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
}

func readText(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// configuration is the n-th of a page.
func configuration(t *testing.T, page string, n int) string {
	t.Helper()
	for _, s := range samples(t, filepath.Join("../..", page)) {
		if s.lang == "yaml" {
			if n--; n == 0 {
				return s.text
			}
		}
	}
	t.Fatalf("%s has no such configuration", page)
	return ""
}

func (w *workshop) program(t *testing.T, file, text string, command ...string) *exec.Cmd {
	t.Helper()
	w.write(t, file, text)
	return exec.Command(command[0], append(command[1:], filepath.Join(w.dir, file))...)
}

// cook runs a sample by its recipe.
func (w *workshop) cook(t *testing.T, s sample, r recipe) {
	client, err := filepath.Abs("../../relay/web/client/dist/weir.js")
	if err != nil {
		t.Fatal(err)
	}
	at := strings.TrimPrefix(w.relay.url, "http://")
	addresses := strings.NewReplacer("'http://127.0.0.1:8080/weir.js'", "'"+client+"'", "'https://weir.example.com/weir.js'", "'"+client+"'", "'WEIRJS'", "'"+client+"'",
		"http://127.0.0.1:8080", w.relay.url, "http://weir:8080", w.relay.url, "ws://127.0.0.1:8080", "ws://"+at, "wss://weir.example.com", "ws://"+at,
		"https://weir.example.com", w.relay.url, "wss://relay.example.com", "ws://"+at)
	text := r.before + addresses.Replace(s.text) + r.after
	text = addresses.Replace(text)
	env := w.env
	if r.files != "" {
		var n int
		page, number, _ := strings.Cut(r.files, " ")
		_, _ = fmt.Sscan(number, &n)
		w.write(t, "weir.yaml", strings.ReplaceAll(configuration(t, page, n), "/etc/weir/", filepath.Join(w.dir, "etc")+"/"))
		env = append(env, "WEIR_LISTEN=127.0.0.1:0", "WEIR_ADMIN=127.0.0.1:0")
		if page == "README.md" { // its keys are in files
			env = append(env, "WEIR_AUTH_SECRET=", "WEIR_API_KEY=")
		}
	}
	cmd := languages[s.lang](t, w, text)
	cmd.Dir, cmd.Env = w.dir, env
	out := new(output)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // ends with the process; received below
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	begun := time.Now()
	for done := false; !done; {
		select {
		case err := <-ended:
			if r.endless || err != nil && !strings.Contains(r.before, "set +e") {
				t.Fatalf("it has ended: %v\n%s", err, out)
			}
			done = true
		case <-tick.C:
			// What nothing is wanted of is to go on for a second without a word.
			if r.endless && out.holds(r.want) && (len(r.want) > 0 || time.Since(begun) > time.Second) {
				_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
				<-ended
				done = true
			}
		case <-ctx.Done():
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-ended
			t.Fatalf("it does not end, or does not say %q:\n%s", r.want, out)
		}
	}
	if !out.holds(r.want) {
		t.Errorf("it does not say %q:\n%s", r.want, out)
	}
	if r.token {
		w.check(t, out.String())
	}
	if r.item != "" {
		name := strings.Split(r.item, "/")
		if status := w.relay.call(t, e2eKey, "GET", "/v1/channels/"+r.item, "", nil); status != 200 {
			t.Errorf("%s was not published: %d", name, status)
		}
	}
}

// check looks at the token in the output: the relay takes it, and its subject is a string.
func (w *workshop) check(t *testing.T, out string) {
	t.Helper()
	token := regexp.MustCompile(`(?m)^eyJ[\w-]+\.[\w-]+\.[\w-]+$`).FindString(out)
	if token == "" {
		t.Fatalf("no token: %s", out)
	}
	parts := strings.Split(token, ".")
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims struct{ Sub any }
	if err := json.Unmarshal(raw, &claims); err != nil || claims.Sub != "ann" {
		t.Errorf("%v: %s", err, raw)
	}
	if status := w.relay.call(t, token, "GET", "/notifications", "", nil); status != 200 {
		t.Errorf("the relay refuses the token: %d", status)
	}
}

// output is what a process says, while it says it.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

func (o *output) holds(list []string) bool {
	text := o.String()
	for _, s := range list {
		if !strings.Contains(text, s) {
			return false
		}
	}
	return true
}

// lookPath says where a program is; make setup installs those that the pages need.
func lookPath(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%v: run make setup", err)
	}
	return path
}
