// Command nodes measures three nodes of weir as one relay, beside one node, and beside three of Centrifugo on Redis, on this machine. It is
// run by loadtest/cluster.sh, and writes the section of docs/benchmarks.md about several nodes.
package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The listeners, each with a port for every node. Nothing else may use them.
const (
	firstPort  = 18280 // public
	adminPort  = 18290
	routePort  = 18295
	peerPort   = 18300
	redisPort  = 18309
	nodeCount  = 3
	benchKey   = "0123456789abcdef0123456789abcdef"
	channel    = "bench:0"
	readyWithn = 30 * time.Second
)

type run struct {
	ctx      context.Context
	bin, dir string
	quick    bool
	runs     int
	atOnce   bool // weir gathers nothing: each message leaves at once
	kept     durably
	only     string // what is measured; "": everything
	edits    bool   // documents are edited, and gather nothing
	children []*process
	page     strings.Builder
}

// process is one that was started here.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
}

func main() {
	var r run
	out := ""
	flag.StringVar(&r.bin, "bin", "", "directory of weir, and of centrifugo and redis-server if there are any")
	flag.StringVar(&r.dir, "dir", "", "directory for logs and data")
	flag.StringVar(&out, "out", "", "file to write to; standard output")
	flag.BoolVar(&r.quick, "quick", false, "short, to see that everything works")
	flag.StringVar(&r.only, "only", "", "what to measure: latency, forwarding, crowd, takeovers, planned, durable, documents; everything")
	flag.IntVar(&r.runs, "runs", 3, "runs of each, of which the median counts")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	r.ctx = ctx
	if r.quick {
		r.runs = 1
	}
	err := r.all()
	r.stopAll()
	if err == nil && out != "" {
		err = os.WriteFile(out, []byte(r.page.String()), 0o644)
	} else if err == nil {
		fmt.Print(r.page.String())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "nodes:", err)
		os.Exit(1)
	}
}

// start starts a process; its output goes to a file.
func (r *run) start(name string, args ...string) (*process, error) {
	log, err := os.Create(filepath.Join(r.dir, fmt.Sprintf("%s-%d.log", name, len(r.children))))
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	p := &process{cmd: exec.Command(filepath.Join(r.bin, name), args...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait()
	}()
	r.children = append(r.children, p)
	return p, nil
}

// end ends a process by a signal and waits for it.
func (p *process) end(s os.Signal) {
	_ = p.cmd.Process.Signal(s)
	select {
	case <-p.done:
	case <-time.After(20 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

func (r *run) stopAll() {
	for _, p := range r.children {
		p.end(os.Kill)
	}
	r.children = nil
}

// cpu is what processes have used, in seconds.
func cpu(list ...*process) (total float64) {
	for _, p := range list {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
		if err != nil {
			continue
		}
		f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		for _, i := range []int{11, 12} {
			n, _ := strconv.ParseFloat(f[i], 64)
			total += n / 100
		}
	}
	return total
}

func address(port, node int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port+node))
}

func public(node int) string { return "http://" + address(firstPort, node) }

// node starts one of weir. nodes is how many there are; 1: no cluster.
func (r *run) node(i, nodes int, dir string) (*process, error) {
	args := []string{"serve", "--dev", "--config", filepath.Join(dir, "weir.yaml"), "--listen", address(firstPort, i), "--admin", address(adminPort, i)}
	if nodes > 1 {
		var routes []string
		for k := range nodes {
			routes = append(routes, address(routePort, k))
		}
		args = append(args, "--node", fmt.Sprint("weir-", i), "--cluster-listen", address(routePort, i), "--cluster-routes", strings.Join(routes, ","),
			"--cluster-data", filepath.Join(dir, strconv.Itoa(i)))
	}
	return r.start("weir", args...)
}

// ready waits until a node is.
func (r *run) ready(i int) error {
	end := time.Now().Add(readyWithn)
	question := "/readyz"
	if r.kept != "" {
		question += "?durable"
	}
	for {
		resp, err := http.Get("http://" + address(adminPort, i) + question)
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		if time.Now().After(end) || r.ctx.Err() != nil {
			return fmt.Errorf("node %d is not ready", i)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// relay starts weir on so many nodes and waits until all are ready. partitions 0: as usual.
func (r *run) relay(nodes, partitions int) ([]*process, error) {
	dir, err := os.MkdirTemp(r.dir, "weir")
	if err != nil {
		return nil, err
	}
	text := "limits: {per_address: 0, commands: 1000000/s}\n"
	switch {
	case r.atOnce:
		text += "namespaces: {bench: {batch: {window: 0s}}}\n"
	case r.edits:
		text += "namespaces: {document: {subscribe: authenticated, publish: authenticated, batch: {window: 0s}}}\n"
	case r.kept != "":
		text += "namespaces: {bench: {durable: true}}\n"
	}
	switch {
	case nodes == 1 && r.kept != "":
		text += "data: " + filepath.Join(dir, "data") + "\n"
	case nodes > 1:
		text += fmt.Sprintf("cluster: {partitions: %d, embed: {sync: %v}}\n", cmp.Or(partitions, 64), r.kept != buffered)
	}
	if err := os.WriteFile(filepath.Join(dir, "weir.yaml"), []byte(text), 0o600); err != nil {
		return nil, err
	}
	var list []*process
	for i := range nodes {
		p, err := r.node(i, nodes, dir)
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	for i := range nodes {
		if err := r.ready(i); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// centrifugo starts so many nodes of it, on Redis if there are several.
func (r *run) centrifugo(nodes int) ([]*process, error) {
	var list []*process
	if nodes > 1 {
		p, err := r.start("redis-server", "--port", strconv.Itoa(redisPort), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", r.dir)
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	for i := range nodes {
		engine := `{"type":"memory"}`
		if nodes > 1 {
			engine = fmt.Sprintf(`{"type":"redis","redis":{"address":"127.0.0.1:%d"}}`, redisPort)
		}
		file := filepath.Join(r.dir, fmt.Sprintf("centrifugo-%d.json", i))
		text := fmt.Sprintf(`{"client":{"insecure":true,"allowed_origins":["*"]},"http_api":{"key":%q},"engine":%s,"log":{"level":"error"},
"channel":{"namespaces":[{"name":"bench","allow_subscribe_for_client":true}]},"http_server":{"address":"127.0.0.1","port":%d,"internal_port":"%d"}}`,
			benchKey, engine, peerPort+i, peerPort+i)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return nil, err
		}
		p, err := r.start("centrifugo", "--config", file)
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	end := time.Now().Add(readyWithn)
	for i := range nodes {
		for {
			c, err := net.Dial("tcp", address(peerPort, i))
			if err == nil {
				_ = c.Close()
				break
			}
			if time.Now().After(end) {
				return nil, errors.New("centrifugo does not listen")
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	return list, nil
}

// move has the partition of a channel moved, and waits until its new owner says that it has it.
func (r *run) move(channel string, node int) error {
	name := fmt.Sprint("weir-", node)
	out, err := exec.CommandContext(r.ctx, filepath.Join(r.bin, "weir"), "cluster", "move", channel, name, "--admin", "http://"+address(adminPort, 0)).CombinedOutput()
	for end := time.Now().Add(readyWithn); err != nil; { // it takes longer than the node that was asked waits
		if time.Now().After(end) {
			return fmt.Errorf("move: %w: %s", err, out)
		}
		time.Sleep(100 * time.Millisecond)
		out, err = exec.CommandContext(r.ctx, filepath.Join(r.bin, "weir"), "cluster", "move", channel, name, "--admin", "http://"+address(adminPort, 0)).CombinedOutput()
	}
	time.Sleep(300 * time.Millisecond)
	return nil
}

// ask makes a request of a backend, and returns the answer; another status than 200 is an error.
func ask(client *http.Client, method string, node int, path, kind, body string) (string, error) {
	req, err := http.NewRequest(method, public(node)+path, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer dev")
	req.Header.Set("Content-Type", kind)
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	answer, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %.200s", resp.Status, answer)
	}
	return string(answer), err
}

// publish makes a publication by HTTP.
func publish(client *http.Client, node int, channel string) error {
	_, err := ask(client, http.MethodPost, node, "/v1/publish", "application/json", fmt.Sprintf(`{"channel":%q,"data":1}`, channel))
	return err
}

// kill kills a node, and measures until another one acknowledges what is published to a channel that it owned.
func (r *run) kill(p *process, client *http.Client) (time.Duration, error) {
	begun := time.Now()
	p.end(os.Kill)
	for publish(client, 0, channel) != nil {
		if time.Since(begun) > time.Minute || r.ctx.Err() != nil {
			return 0, fmt.Errorf("no owner after %v", time.Since(begun))
		}
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(begun), nil
}

func (r *run) printf(format string, args ...any) { fmt.Fprintf(&r.page, format+"\n", args...) }

func (r *run) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "bench-cluster: "+format+"\n", args...)
}

// all measures everything.
func (r *run) all() error {
	for _, step := range []struct {
		name string
		f    func() error
	}{
		{"head", r.head}, {"latency", r.latency}, {"forwarding", r.forwarding}, {"crowd", r.crowd}, {"takeovers", r.takeovers}, {"planned", r.planned},
		{"durable", r.durable}, {"documents", r.documents},
	} {
		if r.only != "" && r.only != step.name {
			continue
		}
		if err := step.f(); r.ctx.Err() != nil {
			return r.ctx.Err()
		} else if err != nil { // what was measured counts
			r.say("%v", err)
			r.printf("\nThis could not be measured: %v.", err)
		}
		r.stopAll()
	}
	return nil
}
