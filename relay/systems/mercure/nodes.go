package mercure

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"weir/broker"
	"weir/internal/wire"
	"weir/relay"
	"weir/relay/cluster"
	"weir/relay/problem"
)

// On several nodes the hub is the channel of its log, as the node that owns the channel orders it: each node hears of all changes and carries
// them out for its own subscribers. Which subscriptions are active are items of the channel. Each node tells the owner of its own
// subscribers, and the owner has the items say what all tell.

// The kinds of what nodes tell and ask each other.
const (
	shareSubscriber = "mercure"        // parts: the key is the channel of the log, the name a subscriber's id
	callCatchUp     = "mercure.update" // the seq of the log by which an update is there; "" for all: see catchUp
)

const (
	// listGroup is the group of the items. Updates are sends without a group.
	listGroup = "subscriptions"

	// maxListed is how many subscribers may be listed.
	maxListed = 100000

	// perChange is how many updates a change may stand for: one for each topic of a subscriber.
	perChange = 1024

	// patience is how long a client waits for the owner of the log.
	patience = 5 * time.Second

	// lag is how long it waits until what the owner has is here.
	lag = 2 * time.Second

	// grace is how long subscribers stay listed of whom no node has told a new owner.
	grace = 5 * time.Second
)

// nodes is this node among others. It implements hub.Listener and cluster.Merger.
type nodes struct {
	// Set once.
	system *System
	stop   func()        // has it hear of the log no more
	begun  chan struct{} // closed when the log is there

	// Guarded by System.mu.
	streams map[*relay.Client]struct{}
	old     []*relay.Client          // those that are to come back, since part of the log was lost
	awaited map[string]chan struct{} // closed when a subscriber is listed, by id
	news    chan struct{}            // closed with the next change; nil: nobody waits for it

	// Guarded by ownMu, which is held while the cluster is told, and taken before all other locks.
	ownMu sync.Mutex
	own   map[string]own // this node's subscribers, by id

	// Guarded by mu, which is taken before the channel's lock.
	mu     sync.Mutex
	told   map[string][]byte // what all nodes say of their subscribers, by id; nil: another node has the log
	since  time.Time         // since when
	timer  *time.Timer       // for what could not be said, and those of whom nobody has told; nil: none yet
	closed bool
}

// own is a subscriber of this node.
type own struct {
	since time.Time
	value []byte // a listing
}

// listing is what is said of a subscriber, by its node and as an item.
type listing struct {
	Modern  bool            `json:"modern,omitempty"`
	Payload json.RawMessage `json:"payload,omitempty"` // of all topics, in 0.x
	Topics  []listedTopic   `json:"topics"`

	// Of items.
	IDs   []string `json:"ids,omitempty"` // of the updates that tell of it, one for each topic
	Ended bool     `json:"ended,omitempty"`
}

type listedTopic struct {
	Kind    kind            `json:"kind,omitempty"`
	Text    string          `json:"text"`
	Payload json.RawMessage `json:"payload,omitempty"` // in 1.0
}

// newNodes has the system be one of several.
func newNodes(s *System) *nodes {
	n := &nodes{system: s, begun: make(chan struct{}), streams: make(map[*relay.Client]struct{}), awaited: make(map[string]chan struct{}), own: make(map[string]own)}
	s.host.Share(shareSubscriber, n)
	s.host.Answer(callCatchUp, func(id []byte) ([]byte, error) {
		if s.host.Elsewhere(logChannel) {
			return nil, cluster.ErrNoOwner
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(id) > 0 && s.log.byID[string(id)] == nil {
			return []byte("0"), nil
		}
		return strconv.AppendUint(nil, s.at.Seq, 10), nil
	})
	n.stop = s.host.Listen(logChannel, n)
	return n
}

// close ends what newNodes began.
func (n *nodes) close() {
	n.stop()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed = true; n.timer != nil {
		n.timer.Stop()
	}
}

// awaitLog waits until this node has the log. Errors: it does not come.
func (n *nodes) awaitLog() error {
	select {
	case <-n.begun:
		return nil
	default:
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-n.begun:
		return nil
	case <-timer.C:
		return problem.Unavailable.With("this node does not have the hub's log yet: try again in a moment")
	}
}

// await waits until an update is here, if any node has it.
func (n *nodes) await(id string) {
	s := n.system
	s.mu.Lock()
	known := id == earliest || s.log.byID[id] != nil
	s.mu.Unlock()
	if !known {
		n.catchUp(id, patience)
	}
}

// catchUp waits until an update is here that the owner of the log has, or all that it has if the id is "". It waits for an owner no longer than limit.
func (n *nodes) catchUp(id string, limit time.Duration) {
	host := n.system.host
	for end := time.Now().Add(limit); host.Elsewhere(logChannel); time.Sleep(patience / 20) {
		answer, err := host.CallOwner(logChannel, callCatchUp, []byte(id))
		if err == nil {
			seq, _ := strconv.ParseUint(string(answer), 10, 64)
			n.reach(seq)
		}
		if !errors.Is(err, cluster.ErrNoOwner) || time.Now().After(end) {
			return
		}
	}
}

// reach waits until a change is here.
func (n *nodes) reach(seq uint64) {
	s := n.system
	timer := time.NewTimer(lag)
	defer timer.Stop()
	for {
		s.mu.Lock()
		if s.at.Seq >= seq {
			s.mu.Unlock()
			return
		}
		if n.news == nil {
			n.news = make(chan struct{})
		}
		news := n.news
		s.mu.Unlock()
		select {
		case <-news:
		case <-timer.C:
			return
		}
	}
}

// Apply implements hub.Listener.
func (n *nodes) Apply(c *broker.Change) {
	s := n.system
	v := broker.ViewOf(c.Encoded)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at.Seq = c.Seq
	n.apply(c.Seq, &broker.KeptChange{Op: v.Op, Group: v.Group, Key: v.Key, Data: v.Data, At: s.host.Now()})
	if n.news != nil {
		close(n.news)
		n.news = nil
	}
}

// apply carries a change of the log out. The caller holds System.mu.
func (n *nodes) apply(seq uint64, c *broker.KeptChange) {
	s := n.system
	switch {
	case c.Op == broker.Send && c.Group == "":
		u := new(update)
		if json.Unmarshal(c.Data, u) == nil && u.ID != "" && len(u.Topics) > 0 {
			s.ready(u)
			u.at = c.At
			s.log.add(u, seq*perChange, false)
			s.dispatch(u)
		}
	case c.Op == broker.Set && c.Group == listGroup:
		sub, ids, ended := n.read(c.Key, c.Data)
		if sub == nil {
			return
		}
		if ended {
			delete(s.subscribers, sub.id)
		} else {
			n.list(sub)
		}
		for i := range min(len(sub.topics), len(ids), perChange) {
			s.tell(sub.notice(i, ids[i], !ended), seq*perChange+uint64(i))
		}
	}
}

// list notes that a subscriber is listed. The caller holds System.mu.
func (n *nodes) list(sub *subscriber) {
	n.system.subscribers[sub.id] = sub
	if told := n.awaited[sub.id]; told != nil {
		close(told)
		delete(n.awaited, sub.id)
	}
}

// read reads an item.
func (n *nodes) read(id string, data []byte) (sub *subscriber, ids []string, ended bool) {
	var l listing
	if json.Unmarshal(data, &l) != nil {
		return nil, nil, false
	}
	sub = &subscriber{id: strings.Clone(id), modern: l.Modern}
	for _, t := range l.Topics {
		x := subscription{selector{t.Kind, t.Text}, t.Payload}
		if !l.Modern {
			x.payload = l.Payload
		}
		sub.topics = append(sub.topics, x)
	}
	return sub, l.IDs, l.Ended
}

// Fill implements hub.Listener. Streams from before get nothing any more: they come back for what is in the log now.
func (n *nodes) Fill(k *broker.Kept) {
	s := n.system
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range n.streams {
		n.old = append(n.old, c)
	}
	base := s.index.base
	s.index, s.classes = newIndex(), make(map[string]*class)
	s.index.base = base
	s.log.clear()
	clear(s.subscribers)
	s.at = k.Position
	first := k.Position.Seq - uint64(len(k.Changes)) + 1
	for i := range k.Changes {
		n.apply(first+uint64(i), &k.Changes[i])
	}
	clear(s.subscribers)
	for _, item := range k.Items {
		if item.Group != listGroup {
			continue
		}
		if sub, _, ended := n.read(item.Key, item.Data); sub != nil && !ended {
			n.list(sub)
		}
	}
	s.log.number = max(s.log.number, k.Position.Seq*perChange)
	if n.news != nil {
		close(n.news)
		n.news = nil
	}
}

// Filled implements hub.Listener.
func (n *nodes) Filled() {
	n.system.mu.Lock()
	old := n.old
	n.old = nil
	n.system.mu.Unlock()
	for _, c := range old {
		c.Close(wire.CloseDraining, "part of the log was lost")
	}
	select {
	case <-n.begun:
	default:
		close(n.begun)
	}
}
