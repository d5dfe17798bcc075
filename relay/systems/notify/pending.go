package notify

import (
	"encoding/json"
	"hash/fnv"
	"log/slog"
	"strconv"
	"time"

	"weir/broker"
	"weir/relay/systems/internal/encode"
	"weir/relay/systems/internal/items"
)

// pendingChannels is the number of channels that the pending deliveries are spread over.
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
func pendingOf(d *delivery) (channel, key string) {
	h := fnv.New64a()
	_, _ = h.Write([]byte(d.key()))
	sum := h.Sum64()
	return pendingChannel(int(sum % pendingChannels)), strconv.FormatUint(sum, 36)
}

// storePending stores a delivery that begins, so that a restart resumes it.
func (s *System) storePending(d *delivery) {
	if s.host.Config().Data == "" {
		return
	}
	channel, key := pendingOf(d)
	_, err := s.host.Broker().Publish(channel, &broker.Publication{
		Op: broker.Set, Group: groupPending, Key: key, Ack: broker.AckMemory, // what is published next waits for the disk
		Data: encode.Line(&pending{d.user, d.since.UnixMilli(), d.n}),
	})
	if err != nil {
		s.log.Warn("pending notification not stored: a restart loses it", slog.String("error", err.Error()))
	}
}

// removePending removes a delivery that has ended.
func (s *System) removePending(d *delivery) {
	if s.host.Config().Data == "" {
		return
	}
	channel, key := pendingOf(d)
	_, err := s.host.Broker().Publish(channel, &broker.Publication{Op: broker.Delete, Group: groupPending, Key: key, Ack: broker.AckMemory})
	if err != nil {
		s.log.Warn("pending notification not removed: it is pushed again after a restart", slog.String("error", err.Error()))
	}
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
