//go:build unix

package pgtest

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// patience is how long a server may take to start or to end on a busy machine.
const patience = 60 * time.Second

// Server is a PostgreSQL server with one database, "shop", reached by a socket in its directory. It is no user's but root's: as root it runs as
// somebody else, which PostgreSQL insists on.
type Server struct {
	bin, dir string
	cmd      *exec.Cmd // nil while it does not run
	ended    chan struct{}
}

// New makes a server and starts it. Without PostgreSQL on the machine the test fails: make setup installs it.
func New() (*Server, error) {
	bin, err := find()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("/tmp", "pgtest") // sockets have short names only
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin, dir: dir}
	if c := credential(); c != nil {
		err = os.Chown(dir, int(c.Uid), int(c.Gid))
	}
	if err == nil {
		err = s.run("initdb", "-D", filepath.Join(dir, "data"), "-A", "trust", "-U", "weir", "-E", "UTF8", "--locale=C", "--no-sync")
	}
	if err == nil {
		err = s.Start()
	}
	if err == nil {
		err = s.create()
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// find returns the directory of PostgreSQL's programs, the newest there is.
func find() (string, error) {
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	slices.SortFunc(dirs, func(a, b string) int { return len(a) - len(b) + strings.Compare(a, b) })
	if len(dirs) > 0 {
		return filepath.Dir(dirs[len(dirs)-1]), nil
	}
	path, err := exec.LookPath("postgres")
	if err != nil {
		return "", fmt.Errorf("PostgreSQL is missing: make setup installs it: %w", err)
	}
	return filepath.Dir(path), nil
}

// credential is who the server runs as; nil: the one who runs the test.
func credential() *syscall.Credential {
	if os.Geteuid() != 0 {
		return nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		if u, err := user.Lookup(name); err == nil {
			uid, _ := strconv.ParseUint(u.Uid, 10, 32)
			gid, _ := strconv.ParseUint(u.Gid, 10, 32)
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		}
	}
	return nil
}

func (s *Server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, name), args...) //nolint:gosec // PostgreSQL's own
	cmd.Dir = s.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir, "TZ=UTC", "LC_ALL=C"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential()}
	return cmd
}

func (s *Server) run(name string, args ...string) error {
	if out, err := s.command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, out)
	}
	return nil
}

// Start starts a server that has ended, and waits until it accepts connections.
func (s *Server) Start() error {
	end := time.Now().Add(patience)
	for s.cmd == nil {
		if err := s.start(end); err != nil && time.Now().After(end) {
			return err
		}
	}
	return nil
}

// start starts the server once. One that was killed may have left processes that are still ending: then this one ends at once.
func (s *Server) start(end time.Time) error {
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	cmd := s.command("postgres", "-D", filepath.Join(s.dir, "data"), "-k", s.dir, "-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=60",
		"-c", "max_prepared_transactions=4", "-c", "shared_buffers=16MB", "-c", "autovacuum_naptime=5s")
	cmd.Stdout, cmd.Stderr = log, log
	if err = cmd.Start(); err == nil {
		err = log.Close()
	}
	if err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }() // Kill or Stop ends it
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			text, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			return fmt.Errorf("postgres has ended: %s", text[max(0, len(text)-2000):])
		case <-tick.C:
		}
		if s.answers() || time.Now().After(end) {
			s.cmd, s.ended = cmd, ended
			return nil
		}
	}
}

func (s *Server) answers() bool {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.url("postgres"))
	if err != nil {
		return false
	}
	_ = conn.Close(ctx)
	return true
}

func (s *Server) create() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.url("postgres"))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.Exec(ctx, "CREATE DATABASE shop")
	return err
}

// URL is the address of the database.
func (s *Server) URL() string { return s.url("shop") }

func (s *Server) url(db string) string {
	return "postgres://weir@/" + db + "?host=" + url.QueryEscape(s.dir)
}

// Kill ends all processes of the server at once, with SIGKILL.
func (s *Server) Kill() {
	if s.cmd == nil {
		return
	}
	children := children(s.cmd.Process.Pid)
	_ = s.cmd.Process.Kill()
	for _, pid := range children {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	<-s.ended
	s.cmd = nil
}

// children are the processes that a process has started. Where that cannot be read they end by themselves, a little later.
func children(pid int) (list []int) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	for f := range strings.FieldsSeq(string(text)) {
		if n, err := strconv.Atoi(f); err == nil {
			list = append(list, n)
		}
	}
	return list
}

// Close kills the server and removes all of it.
func (s *Server) Close() {
	s.Kill()
	_ = os.RemoveAll(s.dir)
}

// Dial opens a connection.
func (s *Server) Dial(ctx context.Context) (*pgx.Conn, error) { return pgx.Connect(ctx, s.URL()) }

// Connect opens a connection for a test, which ends with it.
func (s *Server) Connect(t testing.TB) *pgx.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := s.Dial(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = conn.Close(ctx)
	})
	return conn
}
