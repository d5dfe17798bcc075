package webhook

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"weir/relay/cluster"
)

// On several nodes each sends the events that it has: those emitted there, and those about its connections. What is to tell of a channel is told by the
// node that owns it, which puts together on which nodes it is followed: see lifecycle. One that ends gives what is left to another.

// The kinds of what nodes ask and tell each other.
const (
	shareFollowed = "webhook"       // parts: the key is a channel that is followed
	callStatus    = "webhook.list"  // the endpoints of a node
	callReplay    = "webhook.again" // a nodeReplay
	callTake      = "webhook.take"  // a parcel
)

// nodeReplay is a replayOrder for another node.
type nodeReplay struct {
	Name string   `json:"name"`
	IDs  []string `json:"ids"`
}

// parcel is events of an endpoint whose node ends.
type parcel struct {
	Name   string            `json:"name"`
	Events []json.RawMessage `json:"events"` // records
	IDs    []string          `json:"ids"`
	Dead   bool              `json:"dead"` // they are dead letters
}

// parcelBytes is how large one may be, unless a single event is larger.
const parcelBytes = 1 << 20

// share lets other nodes ask this one.
func (s *System) share() {
	s.host.Answer(callStatus, func([]byte) ([]byte, error) { return json.Marshal(s.statusesHere()) })
	s.host.Answer(callReplay, func(body []byte) ([]byte, error) {
		var o nodeReplay
		if err := json.Unmarshal(body, &o); err != nil {
			return nil, fmt.Errorf("request for a replay: %w", err)
		}
		out, err := s.replayHere(&replayOrder{o.Name, o.IDs})
		if err != nil {
			return nil, err
		}
		return json.Marshal(out)
	})
	s.host.Answer(callTake, func(body []byte) ([]byte, error) {
		var x parcel
		if err := json.Unmarshal(body, &x); err != nil {
			return nil, fmt.Errorf("events of another node: %w", err)
		}
		return nil, s.take(&x)
	})
}

func (s *System) statusesHere() []status {
	list := make([]status, 0, len(s.endpoints))
	for _, p := range s.endpoints {
		list = append(list, p.status())
	}
	return list
}

// statuses are how the endpoints fare: on several nodes with the sums of all, and the worst state that one has found.
func (s *System) statuses() (list []status, silent []string) {
	list = s.statusesHere()
	if !s.nodes {
		return list, nil
	}
	answers, silent := s.host.CallAll(callStatus, nil)
	worst := []string{stateUp, statePaused, stateDown, stateDisabled}
	for _, b := range answers {
		var others []status
		if json.Unmarshal(b, &others) != nil {
			continue
		}
		for i := range list {
			for _, other := range others {
				if other.Name == list[i].Name {
					list[i].Waiting, list[i].Dead = list[i].Waiting+other.Waiting, list[i].Dead+other.Dead
					if slices.Index(worst, other.State) > slices.Index(worst, list[i].State) {
						list[i].State = other.State
					}
				}
			}
		}
	}
	return list, silent
}

func (s *System) replayHere(o *replayOrder) (out replayed, err error) {
	p, err := s.endpoint(o.Name)
	if err != nil {
		return out, err
	}
	out.Replayed, out.Left, err = p.replay(o.IDs)
	return out, err
}

// replay queues dead letters again, of all nodes.
func (s *System) replay(o *replayOrder) (out replayed, err error) {
	out, err = s.replayHere(o)
	if err != nil || !s.nodes {
		return out, err
	}
	body, err := json.Marshal(nodeReplay{o.Name, o.IDs})
	if err != nil {
		return out, err
	}
	answers, silent := s.host.CallAll(callReplay, body)
	out.Silent = silent
	for _, b := range answers {
		var other replayed
		if json.Unmarshal(b, &other) == nil {
			out.Replayed, out.Left = out.Replayed+other.Replayed, out.Left+other.Left
		}
	}
	return out, nil
}

// alone reports whether no other node is there.
func (s *System) alone() bool {
	if !s.nodes {
		return true
	}
	answers, silent := s.host.CallAll(callStatus, nil)
	return len(answers)+len(silent) == 0
}

// handOver gives what is left to another node. It is called when nothing is attempted any more.
func (s *System) handOver() {
	for _, p := range s.endpoints {
		dead, _ := p.store.events(p.store.dead) // what this process has written
		for _, x := range []struct {
			list []*event
			dead bool
		}{{p.queue.Remove(func(*event) bool { return true }), false}, {dead, true}} {
			for list := x.list; len(list) > 0; {
				n, err := s.send(p.config.Name, list, x.dead)
				if err != nil {
					p.log.Error("events lost: no other node takes them", slog.String("webhook", p.config.Name), slog.Int("events", len(list)), slog.String("error", err.Error()))
					break
				}
				list = list[n:]
			}
		}
	}
}

// send gives the first events of a list to another node, and returns how many.
func (s *System) send(endpoint string, list []*event, dead bool) (n int, err error) {
	key := Namespace + ":queue:" + endpoint
	if !s.host.Elsewhere(key) { // it was not handed over: there is nobody
		return 0, cluster.ErrNoOwner
	}
	x := parcel{Name: endpoint, Dead: dead}
	for size := 0; n < len(list) && (n == 0 || size < parcelBytes); n++ {
		e := list[n]
		reason := ""
		if dead {
			reason = e.reason
		}
		x.Events, x.IDs = append(x.Events, e.record(reason)), append(x.IDs, e.id)
		size += len(e.body)
	}
	body, err := json.Marshal(x)
	if err == nil {
		_, err = s.host.CallOwner(key, callTake, body)
	}
	return n, err
}

// take queues what another node has not delivered. It was accepted: there is room.
func (s *System) take(x *parcel) error {
	p, err := s.endpoint(x.Name)
	if err != nil {
		return err
	}
	for i, data := range x.Events[:min(len(x.Events), len(x.IDs))] {
		e, err := eventOf(x.IDs[i], data)
		switch {
		case err != nil:
			return err
		case x.Dead:
			if err := p.store.bury(e, e.reason); err != nil {
				return err
			}
		default:
			p.queue.Add(e.key, e)
		}
	}
	return nil
}

// Each implements cluster.Merger: the parts are the channels that are followed here.
func (l *lifecycle) Each(of func(key string) bool, tell func(key, name string, since time.Time, value []byte)) {
	l.nearMu.Lock()
	defer l.nearMu.Unlock()
	for channel, x := range l.near {
		if of(channel) {
			tell(channel, "", x.since, followedHere)
		}
	}
}

// followedHere is the part of a node on which somebody follows a channel.
var followedHere = []byte{1}

// follows counts those who follow a channel here, and tells the node that owns it of the first and of the last.
func (l *lifecycle) follows(channel string, begun bool) {
	l.nearMu.Lock()
	defer l.nearMu.Unlock()
	x := l.near[channel]
	switch {
	case begun:
		if x.readers == 0 {
			x.since = time.Now()
			l.system.host.Report(shareFollowed, channel, "", followedHere, false)
		}
		x.readers++
		l.near[channel] = x
	case x.readers > 1:
		x.readers--
		l.near[channel] = x
	case x.readers == 1:
		delete(l.near, channel)
		l.system.host.Report(shareFollowed, channel, "", nil, false)
	}
}

// Opened implements cluster.Merger: the parts are told.
func (l *lifecycle) Opened(func(key string) bool) {}

// Merge implements cluster.Merger.
func (l *lifecycle) Merge(channel, _ string, parts []cluster.Part, why cluster.Why) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch n := l.readers[channel]; {
	case len(parts) == 0 && n > 0:
		l.emptied(channel)
	case len(parts) > 0 && n == 0:
		l.filled(channel, why.Known)
	}
}

// Lost implements cluster.Merger: another node tells from now on. What is about to be told is told before.
func (l *lifecycle) Lost(of func(key string) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for channel := range l.vacant {
		if of(channel) {
			delete(l.vacant, channel)
			l.put(channelEvent(topicVacated, channel))
		}
	}
	for channel := range l.readers {
		if of(channel) {
			delete(l.readers, channel)
		}
	}
	for m := range l.members {
		if of(m.channel) {
			delete(l.members, m)
		}
	}
}
