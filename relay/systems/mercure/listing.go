package mercure

import (
	"encoding/json"
	"errors"
	"time"

	"weir/broker"
	"weir/relay/cluster"
)

// announce tells the owner of the log of a subscriber of this node. Of one that begins it waits until it is listed here, so that its own stream
// does not tell of it.
func (n *nodes) announce(sub *subscriber, active bool) {
	s := n.system
	if !active {
		n.ownMu.Lock()
		defer n.ownMu.Unlock()
		if _, ok := n.own[sub.id]; ok {
			delete(n.own, sub.id)
			s.host.Report(shareSubscriber, logChannel, sub.id, nil, false)
		}
		return
	}
	l := listing{Modern: sub.modern}
	for _, t := range sub.topics {
		x := listedTopic{Kind: t.kind, Text: t.text}
		if l.Payload = t.payload; sub.modern {
			l.Payload, x.Payload = nil, t.payload
		}
		l.Topics = append(l.Topics, x)
	}
	listed := make(chan struct{})
	s.mu.Lock()
	if sub.ended {
		s.mu.Unlock()
		return
	}
	n.awaited[sub.id] = listed
	s.mu.Unlock()
	value, _ := json.Marshal(l) // strings, and JSON that was read
	n.ownMu.Lock()
	n.own[sub.id] = own{s.host.Now(), value}
	s.host.Report(shareSubscriber, logChannel, sub.id, value, false)
	n.ownMu.Unlock()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-listed:
	case <-timer.C: // the next owner of the log is told
		s.mu.Lock()
		delete(n.awaited, sub.id)
		s.mu.Unlock()
	}
	s.mu.Lock()
	ended := sub.ended
	s.mu.Unlock()
	if ended {
		n.announce(sub, false)
	}
}

// Each implements cluster.Merger.
func (n *nodes) Each(of func(key string) bool, tell func(key, name string, since time.Time, value []byte)) {
	if !of(logChannel) {
		return
	}
	n.ownMu.Lock()
	defer n.ownMu.Unlock()
	for id, x := range n.own {
		tell(logChannel, id, x.since, x.value)
	}
}

// Opened implements cluster.Merger: those that are listed stay so for a while, until some node says that they are there.
func (n *nodes) Opened(of func(key string) bool) {
	if !of(logChannel) {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.told, n.since = make(map[string][]byte), time.Now()
	n.arm(grace)
}

// Lost implements cluster.Merger.
func (n *nodes) Lost(of func(key string) bool) {
	if of(logChannel) {
		n.mu.Lock()
		n.told = nil
		n.mu.Unlock()
	}
}

// Merge implements cluster.Merger.
func (n *nodes) Merge(_, name string, parts []cluster.Part, _ cluster.Why) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.told == nil:
		return
	case len(parts) == 0:
		delete(n.told, name)
	default:
		n.told[name] = parts[0].Value
	}
	if !n.review(name) {
		n.arm(time.Second)
	}
}

// arm has all be reviewed after a while. The caller holds mu.
func (n *nodes) arm(wait time.Duration) {
	switch {
	case n.closed:
	case n.timer != nil:
		n.timer.Reset(wait)
	default:
		n.timer = n.system.host.Contain().After(wait, "mercure subscriptions", n.reviewAll, func() { // stopped by close
			n.mu.Lock()
			defer n.mu.Unlock()
			n.arm(time.Second)
		})
	}
}

// reviewAll has the items say what the nodes have told.
func (n *nodes) reviewAll() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed || n.told == nil {
		return
	}
	names := make(map[string]struct{})
	for name := range n.told {
		names[name] = struct{}{}
	}
	left := grace - time.Since(n.since)
	if left <= 0 {
		k, err := n.system.host.Broker().Export(logChannel)
		if errors.Is(err, broker.ErrNotLoaded) {
			left = time.Second
		}
		for _, item := range k.Items {
			if item.Group == listGroup {
				names[item.Key] = struct{}{}
			}
		}
	}
	for name := range names {
		if !n.review(name) {
			left = max(left, time.Second)
		}
	}
	if left > 0 {
		n.arm(left)
	}
}

// review has an item say what is told of a subscriber. It returns false if that cannot be done now. The caller holds mu.
func (n *nodes) review(name string) bool {
	s := n.system
	var l listing
	value := n.told[name]
	data, _, ok := s.host.Broker().Item(logChannel, listGroup, name)
	if ok && json.Unmarshal(data, &l) != nil {
		ok = false
	}
	switch active := ok && !l.Ended; {
	case value != nil && !active:
		l = listing{}
		return json.Unmarshal(value, &l) != nil || n.say(name, &l)
	case value == nil && active:
		l.Ended = true
		return n.say(name, &l) && n.drop(name)
	case value == nil && ok:
		return n.drop(name)
	}
	return true
}

// say sets an item, with ids for the updates that tell of it.
func (n *nodes) say(name string, l *listing) bool {
	s := n.system
	l.IDs = l.IDs[:0]
	for range l.Topics {
		l.IDs = append(l.IDs, newID(s.host.Now()))
	}
	data, _ := json.Marshal(l) // as in announce
	if _, err := s.host.Broker().Submit(logChannel, &broker.Publication{Op: broker.Set, Group: listGroup, Key: name, Data: data}); err != nil {
		s.host.Log().Warn("mercure: a subscription was not announced", "error", err.Error())
		return false
	}
	s.published.Add(len(l.Topics))
	return true
}

func (n *nodes) drop(name string) bool {
	_, err := n.system.host.Broker().Submit(logChannel, &broker.Publication{Op: broker.Delete, Group: listGroup, Key: name})
	return err == nil
}
