package hub

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"weir/broker"
	"weir/broker/disk"
	"weir/relay/cluster"
	"weir/relay/cluster/durable"
	"weir/relay/cluster/parts"
	"weir/relay/config"
)

// openCluster joins the cluster, if there is to be one. Nothing is owned before the relay starts it.
func (h *Hub) openCluster() error {
	if h.Config.Mesh == nil {
		return nil
	}
	c := h.Config.Cluster
	policy, err := json.Marshal([]any{h.Config.Namespaces, h.Config.Systems, c.Partitions}) // as versions before Config.Shared compare it; maps come in order
	if err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	sum := fnv.New64a()
	_, _ = sum.Write(policy)
	h.Cluster, err = cluster.Open(cluster.Config{
		Node: c.Node, Partitions: c.Partitions, Place: h.Config.Place(), Shared: h.Config.Shared(), Policy: strconv.FormatUint(sum.Sum64(), 36),
		Opener: h.Config.Mesh, Durable: h.durable(), Log: h.Log, Panic: h.Contain, Traced: h.traced(),
	})
	if err != nil {
		return err
	}
	h.Namespaces.ask = h.askGuard
	h.Answer(callGuard, h.guardHere)
	h.Counters.Set.RegisterMetricsWriter(func(w io.Writer) { writeCluster(w, h.Cluster.Stats()) })
	if h.Ledger = h.Cluster.Kept().Store(); h.Ledger != nil {
		h.Counters.Set.RegisterMetricsWriter(func(w io.Writer) { writeDisk(w, h.storeStats()) })
	}
	return nil
}

// traced follows messages of other nodes; nil: nothing is traced here.
func (h *Hub) traced() func(channel, parent string) func(broker.Position, error) {
	if h.Tracing == nil {
		return nil
	}
	return func(channel, parent string) func(broker.Position, error) {
		m := h.Tracing.Elsewhere(channel, parent)
		if m == nil {
			return nil
		}
		return func(at broker.Position, err error) {
			if err != nil {
				m.Failed(err)
				return
			}
			m.Arrived(at.Epoch, at.Seq)
		}
	}
}

// durable is what a cluster needs for durable channels; nil: no namespace is durable.
func (h *Hub) durable() *durable.Options {
	if !h.Config.KeptByCluster("") && !slices.ContainsFunc(slices.Collect(maps.Values(h.Config.Namespaces)), func(n config.Namespace) bool { return n.Durable }) {
		return nil
	}
	latency := h.Counters.Set.NewPrometheusHistogramExt("weir_disk_commit_seconds", commitBounds)
	return &durable.Options{
		Policy:  func(channel string) broker.Policy { return h.Namespaces.Of(channel).Log },
		Observe: func(commit time.Duration) { latency.Update(commit.Seconds()) },
	}
}

// storeStats are the figures of durable channels in a cluster as if the servers were a disk, the logs its log, and the shelf its database.
func (h *Hub) storeStats() disk.Stats {
	s := h.Ledger.Stats()
	if s.Failing == nil {
		s.Failing = h.Cluster.Kept().Untaken()
	}
	return disk.Stats{Commits: s.Commits, Bytes: s.Bytes, Failures: s.Failures, Refused: s.Refused, Checkpoints: s.Checkpoints, Loads: s.Loads, Damaged: s.Damaged,
		Queue: s.Queue, Backlog: s.Backlog, Failing: s.Failing, Broken: s.Broken}
}

// StoreStats are the figures of durable channels; false if there are none.
func (h *Hub) StoreStats() (s disk.Stats, ok bool) {
	switch {
	case h.Disk != nil:
		return h.Disk.Stats(), true
	case h.Ledger != nil:
		return h.storeStats(), true
	}
	return s, false
}

func writeCluster(w io.Writer, s cluster.Stats) {
	metrics.WriteGaugeUint64(w, "weir_cluster_nodes", uint64(s.Nodes))
	metrics.WriteGaugeUint64(w, "weir_cluster_partitions", uint64(s.Partitions))
	metrics.WriteGaugeUint64(w, "weir_cluster_partitions_owned", uint64(s.Owned))
	metrics.WriteGaugeUint64(w, "weir_cluster_replicas", uint64(s.Replicas))
	var isolated uint64
	if s.Isolated {
		isolated = 1
	}
	metrics.WriteGaugeUint64(w, "weir_cluster_isolated", isolated)
	metrics.WriteGaugeUint64(w, "weir_cluster_waiting_bytes", uint64(s.Waiting))
	metrics.WriteCounterUint64(w, "weir_cluster_frames_total", s.Frames)
	metrics.WriteCounterUint64(w, "weir_cluster_sent_bytes_total", s.Bytes)
	metrics.WriteCounterUint64(w, "weir_cluster_link_restarts_total", s.Restarts)
	metrics.WriteCounterUint64(w, "weir_cluster_forwarded_total", s.Forwarded)
	metrics.WriteCounterUint64(w, "weir_cluster_takeovers_total", s.Takeovers)
	metrics.WriteCounterUint64(w, "weir_cluster_moves_total", s.Moved)
	metrics.WriteCounterUint64(w, "weir_cluster_rescued_channels_total", s.Rescued)
}

// Answer lets other nodes ask something of this one. At start.
func (h *Hub) Answer(kind string, f cluster.Handler) {
	set(&h.handlers.Calls, kind, f)
}

func set[V any](m *map[string]V, kind string, f V) {
	if *m == nil {
		*m = make(map[string]V)
	}
	(*m)[kind] = f
}

// Act has f act on a kind of notice, here and on behalf of other nodes. At start.
func (h *Hub) Act(kind string, f cluster.Actor) { set(&h.handlers.Actors, kind, f) }

// Missed has f called when notices of other nodes are lost for good. At start.
func (h *Hub) Missed(f func(since time.Time)) { h.handlers.Missed = f }

// Notify has all nodes act on something, this one at once. It waits a second at most for the others, or not at all.
func (h *Hub) Notify(kind string, body []byte, wait bool) cluster.Outcome {
	if h.Cluster == nil {
		return cluster.Outcome{Answers: map[string][]byte{"": h.handlers.Actors[kind](body, time.Time{})}}
	}
	return h.Cluster.Notify(kind, body, wait)
}

// Share has a kind of state put together of what all nodes say. At start.
func (h *Hub) Share(kind string, m cluster.Merger) {
	set(&h.handlers.Mergers, kind, m)
}

// Moved has f hear of the keys that this node begins to own, and of those that it no longer owns. kind names who hears. At start.
func (h *Hub) Moved(kind string, f func(of func(key string) bool, gained bool)) {
	h.Share(kind, parts.Ownership(f))
}

// StartCluster begins to own channels, if there is a cluster, when all that others may ask for is there.
func (h *Hub) StartCluster() {
	if h.Cluster != nil {
		h.Cluster.Start(h.Broker, h.handlers)
	}
}

// Elsewhere reports whether another node owns a channel.
func (h *Hub) Elsewhere(channel string) bool { return h.Cluster != nil && h.Cluster.Elsewhere(channel) }

// holdLimit is for how long a client that connects waits for its own channel while that has no owner: a takeover may need an election first.
const holdLimit = 10 * time.Second

// Retain has a channel be in memory, or be known by its owner, until release is called, so that using it does not wait: EnsureLoaded does that, but that an empty channel of a
// cluster's servers is read again by whoever uses it next. Errors: those of EnsureLoaded.
func (h *Hub) Retain(channel string, how Wait) (release func(), err error) {
	if h.Ledger == nil || !h.Namespaces.Of(channel).Log.Durable {
		return func() {}, h.EnsureLoaded(channel, how)
	}
	c, err := h.Broker.Join(channel, broker.JoinRequest{Loaded: how == NoWait}, nil)
	switch {
	case err == nil:
		return c.Leave, nil
	case how == NoWait && errors.Is(err, broker.ErrNotLoaded):
		err = ErrNotLoaded
	}
	return func() {}, err
}

// Hold has a channel be in memory until release is called, wherever it moves meanwhile. Of a cluster it waits for the node that owns the channel, or is about to, unless
// how forbids that; it is not to be called with a lock held. By itself a relay need not hold anything. Errors: those of broker.Broker.Join, and ErrNotLoaded if it would have to wait.
func (h *Hub) Hold(channel string, how Wait) (release func(), err error) {
	if h.Cluster == nil {
		return func() {}, h.EnsureLoaded(channel, how)
	}
	for end := time.Now().Add(holdLimit); ; {
		c, err := h.Broker.Join(channel, broker.JoinRequest{Loaded: how == NoWait}, nil)
		switch {
		case err == nil:
			return c.Leave, nil
		case errors.Is(err, broker.ErrNotLoaded):
			return func() {}, ErrNotLoaded
		case errors.Is(err, durable.ErrAway) && h.Cluster.Reached() && h.Cluster.Kept().Served(channel, end) == nil: // it is this node's by now, which was about to serve it
		case !errors.Is(err, cluster.ErrNoOwner) || !h.Cluster.Reached() || time.Now().After(end):
			return func() {}, fmt.Errorf("hold %s: %w", channel, err)
		}
	}
}

// AppendUsers appends who is in a channel, as Presence.AppendUsers does, by the node that owns it. Errors: ErrUndecided if that has to be
// asked and how does not allow to wait for it; it is not reached.
func (h *Hub) AppendUsers(b []byte, channel string, countOnly bool, how Wait) ([]byte, error) {
	switch {
	case !h.Elsewhere(channel):
		return h.Presence.AppendUsers(b, channel, countOnly), nil
	case how != WaitForAll:
		return nil, ErrUndecided
	}
	return h.Presence.AskUsers(b, channel, countOnly)
}

// Knows reports whether a reader's position can be judged here without asking the node that owns the channel.
func (h *Hub) Knows(channel string, from *broker.Position) bool {
	return from == nil || h.Cluster == nil || h.Broker.Knows(channel, *from)
}

// CatchUp has the replica of a channel catch up with its owner, if a reader's position is not known here: it may have come from a node that was
// ahead. It waits for that, for three seconds at most.
func (h *Hub) CatchUp(channel string, from *broker.Position) {
	if !h.Knows(channel, from) {
		h.Cluster.Refresh(channel)
	}
}

// AcksWait reports whether there are receipts that have to be waited for.
func (h *Hub) AcksWait() bool { return h.Keeps() || h.Cluster != nil }

// Keeps reports whether durable channels are kept, on a disk or in a cluster.
func (h *Hub) Keeps() bool { return h.Disk != nil || h.Ledger != nil }

// maxOwnedTries is how often a publication is tried whose channel is just being loaded.
const maxOwnedTries = 8

// SubmitOwned is Broker.Submit to a channel that this node owns. cluster.ErrNotOwner: it does not, and nothing was done.
func (h *Hub) SubmitOwned(channel string, p *broker.Publication) (broker.Receipt, error) {
	for range maxOwnedTries {
		if h.Elsewhere(channel) {
			break
		}
		receipt, err := h.Broker.SubmitOwned(channel, p)
		if !errors.Is(err, broker.ErrNotLoaded) {
			return receipt, err
		}
		if err := h.Broker.Load(channel); err != nil { // others load it just now, or it has not been promoted yet
			return broker.Receipt{}, err
		}
	}
	return broker.Receipt{}, cluster.ErrNotOwner
}
