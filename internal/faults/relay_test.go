//go:build faults

package faults

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"weir/internal/freeport"
	"weir/relay/auth"
)

// short says that the short form is asked for.
var short = os.Getenv("FAULTS_SHORT") != ""

// times is how often something is done: all of n, or a little of it.
func times(n, few int) int {
	if short {
		return few
	}
	return n
}

// goal holds a figure against what is promised. The short form runs where others load the machine: there it is only
// shown.
func goal(t testing.TB, ok bool, format string, args ...any) {
	t.Helper()
	if ok {
		return
	}
	if short {
		t.Logf("beyond the goal: "+format, args...)
		return
	}
	t.Errorf(format, args...)
}

// needsRoot ends a test that cannot be run without. The full form wants all of them.
func needsRoot(t testing.TB, what string) {
	t.Helper()
	switch {
	case os.Getuid() == 0:
	case short:
		t.Skipf("%s: this takes root", what)
	default:
		t.Fatalf("%s: run this as root", what)
	}
}

// patience is how long a test waits for what must happen. It is no measure of how fast that is.
const patience = 60 * time.Second

// apiKey is the backends' key, and tokenSecret signs what clients show.
const (
	apiKey      = "the-key-of-the-backend-in-the-faults"
	tokenSecret = "the secret that these tests sign their tokens with"
)

// server is a relay in a process of its own, which may be ended and started again at the same address.
type server struct {
	testing.TB
	listen, admin string
	config        string   // file
	shell         string   // commands before the binary, such as ulimit -n 200;
	env           []string // beside the test's
	args          []string
	bin           string // another binary than the one that is tested; "": that
	space         string // network namespace; "": the test's
	key           string // of the admin listener; "": none

	cmd *exec.Cmd
	log *logbook
}

// logbook keeps the last of what a process has said.
type logbook struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logbook) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.b.Len() > 1<<20 {
		l.b.Reset()
	}
	return l.b.Write(b)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// namespaces of the tests: kept is in memory, durable on disk where a test says so.
const namespaces = `
auth: {keys: [{algorithm: HS256, secret: "` + tokenSecret + `"}]}
api: {keys: [{name: backend, secret: "` + apiKey + `"}]}
limits: {per_user: 100000, subscriptions: 4000, commands: 10000/s}
drain: 1s
log: {format: text}
namespaces:
  kept: {subscribe: authenticated, publish: authenticated, presence: false, history: {size: 100000, ttl: 1h}}
  brief: {subscribe: authenticated, publish: authenticated, presence: false, history: {size: 256}}
  here: {subscribe: authenticated, publish: authenticated, presence: true}
`

// newServer describes a relay; start starts it. more is added to its configuration.
func newServer(t testing.TB, more string) *server {
	t.Helper()
	s := &server{TB: t, listen: freeport.Address(t), admin: freeport.Address(t), config: t.TempDir() + "/weir.yaml", log: new(logbook)}
	if err := os.WriteFile(s.config, []byte(namespaces+more), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.kill()
		if t.Failed() {
			out := s.log.String()
			t.Logf("the relay said last: %s", out[max(0, len(out)-4000):])
		}
	})
	return s
}

func (s *server) binary() string {
	if s.bin != "" {
		return s.bin
	}
	bin := os.Getenv("FAULTS_BINARY")
	if bin == "" {
		s.Fatal("FAULTS_BINARY names no binary: run make faults")
	}
	return bin
}

// start starts the process and waits until it is ready. It answers how long that took.
func (s *server) start() time.Duration {
	s.Helper()
	begin := time.Now()
	s.launch()
	until(s, "the relay is ready", func() bool { return s.status("/readyz") == 200 })
	return time.Since(begin)
}

// launch starts the process.
func (s *server) launch() {
	s.Helper()
	line := s.shell + ` exec "$0" "$@"`
	args := append([]string{"bash", "-c", line, s.binary(), "serve", "--config", s.config, "--listen", s.listen, "--admin", s.admin}, s.args...)
	if s.space != "" {
		args = append([]string{"ip", "netns", "exec", s.space}, args...) // each gives its process to the next
	}
	s.cmd = exec.Command(args[0], args[1:]...)
	s.cmd.Env = append(os.Environ(), s.env...)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		s.Fatal(err)
	}
}

// kill ends the process without a word, and waits for that.
func (s *server) kill() {
	if s.cmd != nil && s.cmd.ProcessState == nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
	}
}

// drain ends the process as an operator does. It must exit by itself, with 0.
func (s *server) drain() time.Duration {
	s.Helper()
	begin := time.Now()
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	if err := s.cmd.Wait(); err != nil {
		s.Fatalf("the relay did not end well: %v", err)
	}
	return time.Since(begin)
}

// alive fails the test if the process has ended.
func (s *server) alive() {
	s.Helper()
	if err := s.cmd.Process.Signal(syscall.Signal(0)); err != nil {
		s.Fatalf("the relay has ended: %v", err)
	}
}

// status asks the admin listener.
func (s *server) status(path string) int {
	resp, err := s.get(path)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// get asks the admin listener, which may have been stopped.
func (s *server) get(path string) (*http.Response, error) {
	req, err := http.NewRequest("GET", "http://"+s.admin+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	if s.key != "" {
		req.Header.Set("Authorization", "Bearer "+s.key)
	}
	client := http.Client{Timeout: 5 * time.Second}
	return client.Do(req)
}

// metric is the value of a metric, with its labels as they stand; 0 if it is not there.
func (s *server) metric(name string) float64 {
	s.Helper()
	resp, err := s.get("/metrics")
	if err != nil {
		s.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, name+" "); ok {
			f, err := strconv.ParseFloat(strings.TrimSpace(v), 64)
			if err != nil {
				s.Fatal(err)
			}
			return f
		}
	}
	return 0
}

// rss is the memory of the process in bytes.
func (s *server) rss() int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, _ := strconv.ParseInt(strings.Fields(v)[0], 10, 64)
			return kib << 10
		}
	}
	return 0
}

// bench runs the load tester against the relay and answers its report as JSON.
func (s *server) bench(args ...string) []byte {
	s.Helper()
	args = append([]string{"bench"}, append(args, "--url", "http://"+s.listen, "--key", apiKey, "--secret", tokenSecret, "--json")...)
	cmd := exec.Command(s.binary(), args...)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil && cmd.ProcessState.ExitCode() != 3 { // not valid, since the machine is busy: the caller looks at the numbers
		s.Fatalf("weir %s: %v\n%s", strings.Join(args, " "), err, &said)
	}
	return out
}

// token is a user's token.
func token(t testing.TB, user string) string {
	t.Helper()
	// It is good where the clock is an hour off, too.
	text, err := auth.Mint(tokenSecret, "", auth.Claims{Sub: user, TTL: 24 * time.Hour, IssuedAt: time.Now().Add(-2 * time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// until waits for something that another process does.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for begin := time.Now(); !ok(); <-tick.C {
		if time.Since(begin) > patience {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}
