package agent

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"weir/loadtest"
	"weir/loadtest/record"
	"weir/loadtest/scenario"
)

// Limits of the Server.
const (
	bodyMost = 256 << 20 // bytes of a request
	silence  = 30 * time.Second
)

// Build makes the load test of a part from what the conductor has sent. done is called when it is over.
type Build func(spec []byte, s scenario.Scenario) (cfg loadtest.Config, done func(), err error)

// Server runs parts of load tests. It is an http.Handler.
type Server struct {
	Now func() time.Time // the clock of this machine; tests set it before the first request

	secret string
	build  Build
	mux    http.ServeMux
	parts  sync.WaitGroup

	mu sync.Mutex

	// Guarded by mu.
	closed bool
	part   *part // the present one, or the last; nil: there was none
}

// The states of a part, in their order.
const (
	connecting = "connecting"
	ready      = "ready"   // all connections are there
	running    = "running" // the load begins or has begun
	loaded     = "loaded"  // the load is over
	draining   = "draining"
	over       = "over"
	failed     = "failed"
)

// part is one part of a test.
type part struct {
	cancel context.CancelFunc
	at     chan time.Time     // when to begin; room for one
	all    chan loadtest.Sent // what all have sent; room for one
	quiet  *time.Timer        // cancels when the conductor is not heard of any more
	done   chan struct{}      // closed when nothing runs any more

	mu sync.Mutex

	// Guarded by mu.
	state status
	own   loadtest.Sent
	rec   *record.Record
}

// status is how a part is doing.
type status struct {
	State    string            `json:"state"`
	Error    string            `json:"error,omitempty"`
	Usage    bool              `json:"usage,omitempty"` // the error is for the user to mend
	Progress loadtest.Progress `json:"progress"`
}

// NewServer returns a server that wants the secret from its callers.
func NewServer(secret string, build Build) *Server {
	s := &Server{Now: time.Now, secret: secret, build: build}
	s.mux.HandleFunc("GET /v1/clock", s.clock)
	s.mux.HandleFunc("POST /v1/part", s.begin)
	s.mux.HandleFunc("DELETE /v1/part", s.withPart(end))
	s.mux.HandleFunc("GET /v1/part", s.withPart(func(w http.ResponseWriter, _ *http.Request, p *part) error { return write(w, p.status()) }))
	s.mux.HandleFunc("POST /v1/start", s.withPart(s.start))
	s.mux.HandleFunc("GET /v1/sent", s.withPart(sent))
	s.mux.HandleFunc("POST /v1/sent", s.withPart(share))
	s.mux.HandleFunc("GET /v1/record", s.withPart(result))
	return s
}

// ServeHTTP lets in callers that know the secret.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	given := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if subtle.ConstantTimeCompare([]byte(given), []byte(s.secret)) != 1 {
		http.Error(w, "the secret is not that of this agent", http.StatusUnauthorized)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, bodyMost)
	s.mux.ServeHTTP(w, r)
}

// Serve handles what a listener accepts until the context is done, and returns when everything has ended.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })() // connections end with it
	err := server.Serve(l)
	s.Close()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Close ends what runs, and returns when it has ended.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	if s.part != nil {
		s.part.cancel()
	}
	s.mu.Unlock()
	s.parts.Wait()
}

func write(w io.Writer, v any) error { return json.NewEncoder(w).Encode(v) }

func read(r *http.Request, v any) error {
	if err := json.NewDecoder(r.Body).Decode(v); err != nil {
		return fmt.Errorf("the request cannot be decoded: %w", err)
	}
	return nil
}

// clock tells the time, in ns since 1970.
func (s *Server) clock(w http.ResponseWriter, _ *http.Request) {
	_ = write(w, s.Now().UnixNano()) // the conductor has gone away
}

// withPart handles requests that are about the present part.
func (s *Server) withPart(handle func(http.ResponseWriter, *http.Request, *part) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		p := s.part
		s.mu.Unlock()
		if p == nil {
			http.Error(w, "no test is running", http.StatusNotFound)
			return
		}
		if !p.ended() {
			p.quiet.Reset(silence)
		}
		if err := handle(w, r, p); err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
		}
	}
}

// begin starts a part: it connects, and waits to be started.
func (s *Server) begin(w http.ResponseWriter, r *http.Request) {
	var j job
	if err := read(r, &j); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.part != nil && !s.part.ended() {
		http.Error(w, "busy with another test", http.StatusConflict)
		return
	}
	cfg, done, err := s.build(j.Spec, j.Scenario)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &part{cancel: cancel, at: make(chan time.Time, 1), all: make(chan loadtest.Sent, 1), quiet: time.AfterFunc(silence, cancel), done: make(chan struct{})}
	p.state.State = connecting
	j.Part.Ready, j.Part.Loaded = p.ready, p.loaded
	cfg.Part, cfg.Progress = &j.Part, p.progress
	s.part = p
	s.parts.Go(func() { // ends with the test, or when cancelled
		defer close(p.done)
		defer done()
		defer cancel()
		rec, err := loadtest.Run(ctx, cfg)
		p.end(rec, err)
	})
}

func (p *part) set(state string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state.State = state
}

func (p *part) status() status {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state
}

func (p *part) progress(now loadtest.Progress) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state.Progress = now
}

func (p *part) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// end ends a part, and waits for it.
func end(_ http.ResponseWriter, r *http.Request, p *part) error {
	p.cancel()
	select {
	case <-p.done:
	case <-r.Context().Done():
	}
	return nil
}

func (p *part) end(rec *record.Record, err error) {
	p.quiet.Stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rec, p.state.State = rec, over
	if err != nil {
		p.state.State, p.state.Error, p.state.Usage = failed, err.Error(), errors.Is(err, loadtest.ErrSetup)
	}
}

// ready waits for the conductor's word.
func (p *part) ready(ctx context.Context) (time.Time, error) {
	p.set(ready)
	select {
	case at := <-p.at:
		p.set(running)
		return at, nil
	case <-ctx.Done():
		return time.Time{}, ctx.Err()
	}
}

// loaded waits for what the others have sent.
func (p *part) loaded(ctx context.Context, own loadtest.Sent) (loadtest.Sent, error) {
	p.mu.Lock()
	p.own, p.state.State = own, loaded
	p.mu.Unlock()
	select {
	case all := <-p.all:
		p.set(draining)
		return all, nil
	case <-ctx.Done():
		return loadtest.Sent{}, ctx.Err()
	}
}

func (s *Server) start(_ http.ResponseWriter, r *http.Request, p *part) error {
	var at int64 // ns since 1970, by the clock of this machine
	if err := read(r, &at); err != nil {
		return err
	}
	if p.status().State != ready {
		return errors.New("not ready to begin")
	}
	select {
	case p.at <- time.Now().Add(time.Unix(0, at).Sub(s.Now())):
		return nil
	default:
		return errors.New("the test has begun already")
	}
}

func sent(w http.ResponseWriter, _ *http.Request, p *part) error {
	p.mu.Lock()
	own, state := p.own, p.state.State
	p.mu.Unlock()
	if state != loaded {
		return errors.New("the load is not over")
	}
	return write(w, own)
}

func share(_ http.ResponseWriter, r *http.Request, p *part) error {
	var all loadtest.Sent
	if err := read(r, &all); err != nil {
		return err
	}
	p.mu.Lock()
	fits := p.state.State == loaded && len(all.Counts) == len(p.own.Counts) && len(all.Excused) == len(p.own.Excused)
	for i := range p.own.Counts {
		fits = fits && len(all.Counts[i]) == len(p.own.Counts[i]) && len(all.Excused[i]) == len(p.own.Excused[i])
	}
	p.mu.Unlock()
	if !fits {
		return errors.New("the counts of all agents do not fit this agent's part")
	}
	select {
	case p.all <- all:
		return nil
	default:
		return errors.New("the counts of all agents have been sent already")
	}
}

func result(w http.ResponseWriter, _ *http.Request, p *part) error {
	p.mu.Lock()
	rec := p.rec
	p.mu.Unlock()
	if rec == nil {
		return errors.New("there is no record")
	}
	return rec.Write(w)
}
