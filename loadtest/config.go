package loadtest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"weir/loadtest/scenario"
	"weir/loadtest/target"
)

// ErrSetup means that nothing could be measured: the target cannot be reached, refuses the token or the
// key, is not ours to load, or the machine has too few descriptors. The message says what to do.
var ErrSetup = errors.New("cannot measure")

// Config is one load test. The zero value of a field means the default its comment states.
type Config struct {
	Scenario scenario.Scenario
	Target   target.Options
	Own      bool // the target may be somewhere else than on this machine

	// TLS is how certificates are verified; nil: as the system does. HTTPS targets only.
	TLS *tls.Config

	// Token makes the token of a user; nil: subscribers send none.
	Token func(user string) (string, error)

	PIDs    []int  // processes of the target, whose CPU and memory are sampled
	Metrics string // address of the target's Prometheus metrics, for the same
	FindPID bool   // without either: look for the processes that listen on the target's port of this machine

	Part *Part // of a test that several machines do; nil: all of it

	Unit    bool          // measure the price of a small write on this machine before the test, for the record
	Command string        // what was typed, for the record
	Setup   time.Duration // connecting may make no progress for this long; 10s

	// Progress is called some five times a second while the load runs; nil.
	Progress func(Progress)

	// Dial connects to the target instead of the system's sockets. Every connection then has goroutines
	// of its own, and time is what the caller's context makes of it (testing/synctest); nil.
	Dial func(ctx context.Context) (net.Conn, error)
}

// Progress is a glance at a running test.
type Progress struct {
	Step        string        // what is being done
	At, Of      time.Duration // of the load
	Open, Want  int64         // connections
	Sent        uint64        // messages published so far
	Rate        float64       // messages published a second, since the last glance
	Deliveries  float64       // deliveries a second, since the last glance, estimated
	P50, P99    float64       // ms, of the last interval
	ServerCPU   float64       // cores; negative when not known
	ClientCPU   float64       // cores
	ServerBytes int64         // resident memory; 0 when not known
	Trouble     int           // things that went wrong so far
}

// setupError wraps a reason in ErrSetup.
func setupError(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrSetup, fmt.Errorf(format, args...))
}

// resolve finds the addresses of an endpoint and refuses targets that are not ours.
func resolve(cfg *Config, at target.Endpoint) (list []netip.AddrPort, err error) {
	if cfg.Dial != nil {
		return []netip.AddrPort{{}}, nil
	}
	if !at.Loopback() && !cfg.Own {
		return nil, setupError("%s is not on this machine: expected --i-own-this-target, if the server is yours", strings.Join(at.All(), ", "))
	}
	for _, addr := range at.All() {
		to, err := net.ResolveTCPAddr("tcp", addr) // IPv4 first
		if err != nil {
			return nil, setupError("address %s: %w", addr, err)
		}
		ip := to.AddrPort().Addr().Unmap()
		if !ip.IsLoopback() && !cfg.Own {
			return nil, setupError("%s resolves to %v, which is not this machine: expected --i-own-this-target, if the server is yours", addr, ip)
		}
		list = append(list, netip.AddrPortFrom(ip, uint16(to.Port)))
	}
	return list, nil
}
