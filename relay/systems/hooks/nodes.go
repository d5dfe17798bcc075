package hooks

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"weir/internal/contain"
	"weir/relay/cluster"
	"weir/relay/jsonbody"
)

// On several nodes each asks the backend about its own clients. Whether a resume ticket was used is decided by the node that owns the ticket's part, so that it
// opens one session on all of them; the node that it was used on remembers it, too, and tells the next owner. Revocations are told to all nodes, and
// each keeps them; one that starts asks the others for theirs. What is not certain is refused: the backend is asked in the place of it.

// The kinds of what nodes ask and tell each other.
const (
	kindTickets  = "hooks"        // parts of tickets, as keys that nodes own; see keyOf
	callRedeem   = "hooks.redeem" // an inquiry about a ticket, to the owner of its part; the answer is "1" if it holds
	callKnown    = "hooks.known"  // what a node knows of parts: parts, as bytes; the answer is a knowledge
	callStatus   = "hooks.status"
	actRevoke    = "hooks.revoke" // the user
	askedAtOnce  = 16             // parts
	unknownAfter = 250 * time.Millisecond
)

// inquiry is about a ticket, and whom it is for.
type inquiry struct {
	Nonce      []byte `json:"nonce"`
	Issued     int64  `json:"issued"`
	User       string `json:"user,omitempty"` // key of revocations; "": anonymous
	Connection string `json:"connection"`     // the same
}

// parts is how many there are: of tickets by the first byte of their nonces, of revocations by that of their keys.
const parts = 256

// keyOf is the key of a part of the tickets, which some node owns.
func keyOf(part byte) string { return "hooks:tickets:" + hex.EncodeToString([]byte{part}) }

// knowledge is what a node knows of some parts.
type knowledge struct {
	Used    []byte           `json:"used"` // nonces, one behind the other
	Revoked map[string]int64 `json:"revoked"`
}

// nodes is the other nodes. It implements cluster.Merger, for the sake of knowing what this one owns.
type nodes struct {
	// Set once.
	system *System
	cancel context.CancelFunc
	wake   chan struct{} // holds a value if there is something to ask for; never closed
	work   sync.WaitGroup

	// Guarded by mu, a leaf.
	mu      sync.Mutex
	turn    [parts]int  // grows when this node begins to own one
	used    [parts]int  // what was used of these is known since this turn
	revoked [parts]bool // all revocations of these are known
	owned   bool        // this node has owned something
}

func newNodes(s *System) *nodes {
	n := &nodes{system: s, wake: make(chan struct{}, 1)}
	for part := range n.turn {
		n.turn[part] = 1
	}
	s.host.Share(kindTickets, n)
	s.host.Answer(callRedeem, n.redeemHere)
	s.host.Answer(callKnown, n.known)
	s.host.Answer(callStatus, func([]byte) ([]byte, error) { return json.Marshal(s.status()) })
	s.host.Act(actRevoke, func(body []byte, late time.Time) []byte {
		now := s.now()
		if !late.IsZero() {
			now = late
		}
		asked, _ := s.revoke(string(body), now) // nothing is stored here that could fail
		return strconv.AppendInt(nil, int64(asked), 10)
	})
	var ctx context.Context
	ctx, n.cancel = context.WithCancel(context.Background())
	s.host.Contain().Loop(&n.work, "tickets of nodes", contain.Done(ctx), func() { n.run(ctx) }, nil) // ended by stop
	return n
}

func (n *nodes) stop() {
	n.cancel()
	n.work.Wait()
}

// revoke is POST /v1/revoke.
func (n *nodes) revoke(ctx *fasthttp.RequestCtx, user string) error {
	out := n.system.host.Notify(actRevoke, []byte(user), true)
	answer := struct {
		Asked  int      `json:"asked"`
		Nodes  int      `json:"nodes"`
		Silent []string `json:"silent,omitempty"`
	}{Nodes: len(out.Answers), Silent: out.Silent}
	for _, b := range out.Answers {
		asked, _ := strconv.Atoi(string(b))
		answer.Asked += asked
	}
	return jsonbody.Write(ctx, http.StatusOK, answer)
}

// redeem reports whether a ticket holds, of which it is not used again after that.
func (n *nodes) redeem(about *inquiry, now time.Time) bool {
	s := n.system
	if !n.certain(about) || s.revokedSince(about, skew) {
		return false
	}
	key := keyOf(about.Nonce[0])
	if !s.host.Elsewhere(key) {
		return n.useHere(about, now)
	}
	if !s.tickets.use(nonce(about.Nonce), now) { // noted before the owner is asked: the next one is told
		return false
	}
	body, err := json.Marshal(about)
	if err == nil {
		body, err = s.host.CallOwner(key, callRedeem, body)
	}
	return err == nil && string(body) == "1"
}

// redeemHere answers an inquiry of another node.
func (n *nodes) redeemHere(body []byte) ([]byte, error) {
	var about inquiry
	if err := json.Unmarshal(body, &about); err != nil {
		return nil, fmt.Errorf("request for a ticket: %w", err)
	}
	if len(about.Nonce) != len(nonce{}) {
		return nil, errors.New("request for a ticket: the ticket is missing")
	}
	if n.system.host.Elsewhere(keyOf(about.Nonce[0])) {
		return nil, cluster.ErrNoOwner
	}
	if n.certain(&about) && !n.system.revokedSince(&about, skew) && n.useHere(&about, n.system.now()) {
		return []byte("1"), nil
	}
	return []byte("0"), nil
}

func (n *nodes) useHere(about *inquiry, now time.Time) bool {
	part := about.Nonce[0]
	n.mu.Lock()
	known := n.used[part] == n.turn[part]
	n.mu.Unlock()
	return known && n.system.tickets.use(nonce(about.Nonce), now)
}

// certain reports whether all revocations that may concern a ticket are known here.
func (n *nodes) certain(about *inquiry) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return (about.User == "" || n.revoked[partOf(about.User)]) && n.revoked[partOf(about.Connection)]
}

// partOf is the part of a key of revocations, which is in hexadecimal.
func partOf(key string) byte {
	b, _ := hex.DecodeString(key[:min(len(key), 2)])
	return append(b, 0)[0]
}

// known returns what this node knows of parts.
func (n *nodes) known(body []byte) ([]byte, error) {
	var of [parts]bool
	for _, part := range body {
		of[part] = true
	}
	k := knowledge{Revoked: make(map[string]int64)}
	n.system.tickets.used.each(func(x nonce, _ struct{}) {
		if of[x[0]] {
			k.Used = append(k.Used, x[:]...)
		}
	})
	n.system.revoked.told.each(func(key string, when int64) {
		if of[partOf(key)] {
			k.Revoked[key] = when
		}
	})
	return json.Marshal(k)
}

// Opened implements cluster.Merger: of what this node begins to own, others may know that it was used.
func (n *nodes) Opened(of func(key string) bool) {
	n.mu.Lock()
	n.owned = true
	for part := range parts {
		if of(keyOf(byte(part))) {
			n.turn[part]++
		}
	}
	n.mu.Unlock()
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// Each, Merge and Lost implement cluster.Merger: there are no parts.
func (n *nodes) Each(func(key string) bool, func(key, name string, since time.Time, value []byte)) {}
func (n *nodes) Merge(string, string, []cluster.Part, cluster.Why)                                 {}
func (n *nodes) Lost(func(key string) bool)                                                        {}

// run asks the others for what this node has to know.
func (n *nodes) run(ctx context.Context) {
	again := time.NewTimer(0)
	defer again.Stop()
	for {
		select {
		case <-n.wake:
		case <-again.C:
		case <-ctx.Done():
			return
		}
		if !n.learn() {
			again.Reset(unknownAfter)
		}
	}
}

// learn asks for what is not known, and reports whether all is by now.
func (n *nodes) learn() bool {
	var want []byte
	n.mu.Lock()
	for part := range parts {
		if n.used[part] != n.turn[part] || !n.revoked[part] {
			want = append(want, byte(part))
		}
	}
	owned, turn := n.owned, n.turn
	n.mu.Unlock()
	for len(want) > 0 {
		some := want[:min(len(want), askedAtOnce)]
		answers, silent := n.system.host.CallAll(callKnown, some)
		if len(silent) > 0 || len(answers) == 0 && !owned { // or nobody has been heard yet, and this node may be new to a cluster
			return false
		}
		for _, b := range answers {
			var k knowledge
			if json.Unmarshal(b, &k) != nil {
				return false
			}
			n.take(&k)
		}
		n.mu.Lock()
		for _, part := range some {
			n.used[part], n.revoked[part] = turn[part], true
		}
		n.mu.Unlock()
		want = want[len(some):]
	}
	return true
}

// take notes what another node knows.
func (n *nodes) take(k *knowledge) {
	now := n.system.now()
	for used := k.Used; len(used) >= len(nonce{}); used = used[len(nonce{}):] {
		n.system.tickets.use(nonce(used), now)
	}
	for key, when := range k.Revoked {
		_ = n.system.revoked.add(key, time.UnixMicro(when)) // nothing is stored that could fail
	}
}

// statuses are how the hooks of all nodes fare, each summed up.
func (n *nodes) statuses(all statusOfAll) statusOfAll {
	answers, silent := n.system.host.CallAll(callStatus, nil)
	all.Nodes, all.Silent = 1, silent
	for _, b := range answers {
		var other statusOfAll
		if json.Unmarshal(b, &other) != nil {
			continue
		}
		all.Nodes++
		all.add(&other)
	}
	return all
}
