package notify

import (
	"encoding/json"
	"errors"
	"hash/fnv"
	"log/slog"
	"strconv"
	"time"

	"weir/broker"
	"weir/relay/cluster"
	"weir/relay/systems/internal/encode"
	"weir/relay/systems/internal/items"
)

// pendingChannels is the number of channels that the pending deliveries are spread over on one node.
const pendingChannels = 16

const groupPending = "deliveries"

// pending is a delivery under way, as it is stored in a channel.
type pending struct {
	UserID       string        `json:"userId"`
	Since        int64         `json:"since"` // milliseconds
	Notification *notification `json:"notification"`
}

func pendingChannel(i int) string { return Namespace + ":=way:" + strconv.Itoa(i) }

// pendingOf is the channel and the key of a pending delivery. No user's channel has such a name: in those, "=" stands
// before two hexadecimal digits.
func (s *System) pendingOf(d *delivery) (channel, key string) {
	h := fnv.New64a()
	_, _ = h.Write([]byte(d.key()))
	sum := h.Sum64()
	key = strconv.FormatUint(sum, 36)
	if s.ways != nil {
		return s.ways.User(d.user), key
	}
	return pendingChannel(int(sum % pendingChannels)), key
}

// keepsPending reports whether what is pending outlives the process.
func (s *System) keepsPending() bool { return s.ways != nil || s.host.Config().Data != "" }

// storePending stores a delivery that begins, so that a restart resumes it, or the next node of the user. What is published next waits for the disk, and on several
// nodes for their log, which has this before. Errors: cluster.ErrNotOwner; on one node there are none.
func (s *System) storePending(d *delivery) error {
	if !s.keepsPending() {
		return nil
	}
	channel, key := s.pendingOf(d)
	p := &broker.Publication{Op: broker.Set, Group: groupPending, Key: key, Ack: broker.AckMemory, Data: encode.Line(&pending{d.user, d.since.UnixMilli(), d.n})}
	if s.ways != nil {
		return s.change(channel, p)
	}
	if _, err := s.host.Broker().Publish(channel, p); err != nil {
		s.log.Warn("pending notification not stored: a restart loses it", slog.String("error", err.Error()))
	}
	return nil
}

// removePending removes a delivery that has ended, or was not accepted. It returns cluster.ErrNotOwner if that is another node's to do.
func (s *System) removePending(d *delivery) error {
	if !s.keepsPending() {
		return nil
	}
	channel, key := s.pendingOf(d)
	p := &broker.Publication{Op: broker.Delete, Group: groupPending, Key: key}
	if s.ways == nil {
		p.Ack = broker.AckMemory
	}
	err := s.free(channel, p)
	if err != nil && !errors.Is(err, cluster.ErrNotOwner) {
		s.log.Warn("pending notification not removed: it is pushed again after a restart", slog.String("error", err.Error()))
	}
	if s.ways != nil && err == nil {
		for _, device := range s.queue.noted(d) {
			_ = s.free(channel, &broker.Publication{Op: broker.Delete, Group: groupReached, Key: key + "." + device, Ack: broker.AckMemory}) // it ends by itself
		}
	}
	return err
}

// knownWithin is how long it is waited for the node that has what is pending.
const knownWithin = 10 * time.Second

// stillPending reports whether a delivery whose removal may have been stored, or not, is still pending. It may wait for the node that has it by now, which goes on with
// nothing before this one's attempt is over.
func (s *System) stillPending(d *delivery) bool {
	channel, key := s.pendingOf(d)
	for end := time.Now().Add(knownWithin); s.host.Broker().Load(channel) != nil; {
		select {
		case <-s.ended:
			return true
		case <-time.After(lookAgain):
		}
		if time.Now().After(end) {
			return true
		}
	}
	_, _, ok := s.host.Broker().Item(channel, groupPending, key)
	return ok
}

// resume continues the deliveries that were pending when the process before ended. Each device is tried at least once.
func (s *System) resume() {
	for i := range pendingChannels {
		var list []*pending
		err := items.Each(s.host.Broker(), pendingChannel(i), func(_, _ string, data []byte) error {
			r := new(pending)
			if json.Unmarshal(data, r) == nil && r.Notification != nil {
				list = append(list, r)
			}
			return nil
		}, groupPending)
		if err != nil {
			s.log.Error("pending notifications cannot be read", slog.String("error", err.Error()))
		}
		for _, r := range list {
			d, _, err := s.queue.reserve(r.UserID, r.Notification, time.UnixMilli(r.Since))
			if err != nil {
				return // there is more than the queue takes: it stays for another time
			}
			if d != nil {
				d.settled(nil)
				s.queue.start(d, s.list(r.UserID))
			}
		}
	}
}
