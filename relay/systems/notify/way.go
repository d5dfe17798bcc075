package notify

import (
	"encoding/json"
	"hash/fnv"
	"log/slog"
	"strconv"
	"time"

	"weir/broker"
)

// ways is the number of channels that what is under way is spread over.
const ways = 16

const groupWay = "deliveries"

// wayRecord is a notification under way, as it is kept in a channel.
type wayRecord struct {
	UserID       string        `json:"userId"`
	Since        int64         `json:"since"` // milliseconds
	Notification *notification `json:"notification"`
}

// wayOf is the channel and the key of what is under way. No user's channel has such a name: in those, "=" stands
// before two hexadecimal digits.
func wayOf(d *delivery) (channel, key string) {
	h := fnv.New64a()
	_, _ = h.Write([]byte(d.key()))
	sum := h.Sum64()
	return Namespace + ":=way:" + strconv.Itoa(int(sum%ways)), strconv.FormatUint(sum, 36)
}

// depart notes a notification that is on its way, if that is of use after a restart.
func (s *System) depart(d *delivery) {
	if s.core.Config().Data == "" {
		return
	}
	channel, key := wayOf(d)
	_, err := s.core.Broker().Publish(channel, &broker.Publication{
		Op: broker.Set, Group: groupWay, Key: key, Ack: broker.AckMemory, // what is published next waits for the disk
		Data: encode(&wayRecord{d.user, d.since.UnixMilli(), d.n}),
	})
	if err != nil {
		s.log.Warn("a notification under way is not kept for a restart", slog.String("error", err.Error()))
	}
}

// arrive forgets it.
func (s *System) arrive(d *delivery) {
	if s.core.Config().Data == "" {
		return
	}
	channel, key := wayOf(d)
	_, err := s.core.Broker().Publish(channel, &broker.Publication{Op: broker.Delete, Group: groupWay, Key: key, Ack: broker.AckMemory})
	if err != nil {
		s.log.Warn("a notification will be pushed again after a restart", slog.String("error", err.Error()))
	}
}

// resume takes up what was under way when the process before ended. Each device is tried at least once.
func (s *System) resume() {
	for i := range ways {
		reply, ok := s.core.Broker().Read(Namespace+":=way:"+strconv.Itoa(i), []string{groupWay})
		if !ok {
			continue
		}
		var list []*wayRecord
		err := items(reply.State, func(_ string, data []byte) {
			r := new(wayRecord)
			if json.Unmarshal(data, r) == nil && r.Notification != nil {
				list = append(list, r)
			}
		})
		if err != nil {
			s.log.Error("what was under way cannot be read", slog.String("error", err.Error()))
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
