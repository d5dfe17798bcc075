package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// server is something to measure.
type server struct {
	name   string // short, a column of the tables
	about  string // what it is and how it is set up
	target string // weir bench --target
	args   []string
	prefix string // of channels; "" for that of weir bench
	goes   bool   // written in Go: gets a GOMAXPROCS of its cores
	debug  string // address of its pprof: it is asked to collect garbage before its memory is read
	batch  bool   // takes many messages in a request
}

const (
	address = "127.0.0.1:18480"
	admin   = "127.0.0.1:18490"
)

// places is where the programs are. Set once.
type places struct {
	root string // of the sources
	bin  string // of what was built: weir, centrifuge, gws
	dir  string // for what servers write, and for results
}

// servers lists what is compared; the first is what the others are compared with. Names in braces are
// filled in by command.
func servers() []server {
	weir := []string{"{bin}/weir", "serve", "--dev", "--config", "{root}/loadtest/peers/compare/weir.yaml", "--listen", address, "--admin", admin, "--log-level", "warn"}
	return []server{
		{name: "weir", about: "windows of 50 ms, the default", target: "weir", args: weir, debug: admin, goes: true, batch: true},
		{name: "weir, no window", about: "`window: 0`", target: "weir", args: weir, debug: admin, prefix: "instant:", goes: true, batch: true},
		{name: "centrifuge", about: "the library behind Centrifugo, collecting writes for 20 ms", target: "centrifugo", args: []string{"{bin}/centrifuge", "-delay", "20ms", address}, goes: true, debug: address, batch: true},
		{name: "centrifuge, no delay", about: "the same, writing at once", target: "centrifugo", args: []string{"{bin}/centrifuge", address}, goes: true, debug: address, batch: true},
		{name: "nchan", about: "nginx with the nchan module, one worker", target: "nchan", args: []string{"bash", "{root}/loadtest/peers/nchan/start.sh", address, "{dir}/nchan"}},
		{name: "gws", about: "gws with its Broadcaster, and net/http", target: "nchan", args: []string{"{bin}/gws", address}, goes: true, debug: address},
		{name: "ws", about: "npm ws, JSON.stringify once for each message, a send for each socket", target: "nchan", args: []string{"node", "{root}/loadtest/peers/ws/server.js", address}},
		{name: "ws, batched", about: "npm ws, a queue of 50 ms for each socket", target: "nchan", args: []string{"node", "{root}/loadtest/peers/ws/server.js", address, "--batch"}},
	}
}

// missing returns why a server cannot run here; empty when it can.
func (s server) missing(p places) string {
	switch {
	case s.name == "nchan":
		if _, err := os.Stat("/usr/lib/nginx/modules/ngx_nchan_module.so"); err != nil {
			return "the Debian packages nginx and libnginx-mod-nchan are not installed"
		}
	case s.args[0] == "node":
		if _, err := exec.LookPath("node"); err != nil {
			return "node is not installed"
		}
		if _, err := os.Stat(p.root + "/loadtest/peers/ws/node_modules/ws"); err != nil {
			return "npm ci was not run in loadtest/peers/ws"
		}
	}
	return ""
}

func (p places) fill(args []string) []string {
	r := strings.NewReplacer("{bin}", p.bin, "{root}", p.root, "{dir}", p.dir)
	out := make([]string, len(args))
	for i, a := range args {
		out[i] = r.Replace(a)
	}
	return out
}

// running is a server that was started.
type running struct {
	cmd    *exec.Cmd
	exited chan error
}

var errDidNotStart = errors.New("did not start")

// start runs a server on a core, or several with commas between them, and waits until it takes connections.
func (s server) start(ctx context.Context, p places, core string) (*running, error) {
	if _, err := net.DialTimeout("tcp", address, time.Second); err == nil {
		return nil, fmt.Errorf("start %s: something else listens on %s", s.name, address)
	}
	args := append([]string{"taskset", "-c", core}, p.fill(s.args)...)
	log, err := os.Create(filepath.Join(p.dir, "server.log"))
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", s.name, err)
	}
	defer log.Close() // the server has its own copy
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	cmd.Env = os.Environ()
	if s.goes {
		cmd.Env = append(cmd.Env, "GOMAXPROCS="+strconv.Itoa(1+strings.Count(core, ",")))
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", s.name, err)
	}
	r := &running{cmd, make(chan error, 1)}
	go func() { r.exited <- cmd.Wait() }() // ends with the process, which stop ends and waits for
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline) && ctx.Err() == nil; {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			conn.Close()
			return r, nil
		}
		select {
		case err := <-r.exited:
			r.exited <- err
			return nil, fmt.Errorf("start %s: %w: %v: %s", s.name, errDidNotStart, err, tail(filepath.Join(p.dir, "server.log")))
		case <-time.After(50 * time.Millisecond):
		}
	}
	r.stop()
	return nil, fmt.Errorf("start %s: %w: nothing listens on %s", s.name, errDidNotStart, address)
}

// stop ends the server and the processes that it started.
func (r *running) stop() {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		_ = syscall.Kill(-r.cmd.Process.Pid, sig) // it may have ended by itself
		select {
		case <-r.exited:
			return
		case <-time.After(3 * time.Second):
		}
	}
	<-r.exited
}

// tail is the end of a log.
func tail(file string) string {
	b, _ := os.ReadFile(file) // an error is no log
	return strings.TrimSpace(string(b[max(0, len(b)-500):]))
}
