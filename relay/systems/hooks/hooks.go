package hooks

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"weir/internal/safedial"
	"weir/internal/sign"
	"weir/relay"
	"weir/relay/config"
	"weir/relay/systems/internal/answers"
)

// System asks a backend about clients. It implements relay.System, session.Connector, hub.Authorizer, hub.Moderator and native.Caller. New
// makes it.
type System struct {
	// Set once by Start.
	host    relay.Host
	config  *Config
	keys    [][]byte // of signatures
	client  *http.Client
	hooks   map[string]*hook // by question; those that are asked
	counts  counters
	secret  []byte // of this process: clients are remembered under hashes that mean nothing elsewhere
	tickets *tickets
	revoked *revocations
	nodes   *nodes // nil: there are no others

	// Safe for concurrent use.
	explained atomic.Int64  // when a refusal was logged last, in seconds since 1970
	slots     chan struct{} // holds a value for each question under way; never closed
	clients   answers.Memory[credentialKey, *known]
	decisions answers.Memory[subject, *decision]
	renewals  renewals
}

// New returns a system. Its backend is that of the configuration of the host.
func New() *System { return new(System) }

// Name implements relay.System.
func (s *System) Name() string { return Name }

// Start implements relay.System. It returns an error if there is no secret, or if a secret cannot be read.
func (s *System) Start(host relay.Host) error {
	s.host, s.config = host, config.Of[Config](host.Config())
	var err error
	if s.keys, err = sign.ParseSecrets(s.config.Secrets); err != nil {
		return fmt.Errorf("hooks.secrets: %w", err)
	}
	s.client = safedial.For(s.config.Timeout, s.config.AllowInsecure, host.Config().Dev)
	safedial.Keep(s.client, s.config.Parallel)
	s.slots = make(chan struct{}, s.config.Parallel)
	s.secret = make([]byte, 32)
	_, _ = rand.Read(s.secret) // ends the process rather than failing
	s.counts = newCounters(s)
	s.hooks = make(map[string]*hook)
	for _, question := range questions {
		if address := s.config.address(question); address != "" {
			s.hooks[question] = s.newHook(question, address)
		}
	}
	if s.revoked, err = newRevocations(host, max(s.config.Connect.Resume, s.config.Timeout)); err != nil {
		return err
	}
	if s.tickets, err = newTickets(s.keys, s.config.Connect.Resume); err != nil {
		return err
	}
	if !host.Alone() {
		s.nodes = newNodes(s)
	}
	host.Backend(http.MethodPost, "/v1/revoke", s.handleRevoke)
	host.Backend(http.MethodGet, "/v1/hooks", s.handleList)
	if s.hooks[askConnect] != nil {
		s.renewals.start(s)
		host.UseConnector(s)
	}
	if s.hooks[askSubscribe] != nil || s.hooks[askPublish] != nil {
		host.UseAuthorizer(s)
	}
	if s.hooks[askCall] != nil {
		host.UseCaller(s)
	}
	return nil
}

// Close implements relay.System. It waits for the questions that are under way, each for its timeout at most.
func (s *System) Close() {
	s.renewals.stop()
	if s.nodes != nil {
		s.nodes.stop()
	}
	for range cap(s.slots) {
		s.slots <- struct{}{} // every question gives its slot back
	}
	s.client.CloseIdleConnections()
}

// now is the wall clock.
func (s *System) now() time.Time { return s.host.Now() }
