package notify

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"

	"weir/broker"
	"weir/internal/wire"
	"weir/relay/cluster"
	"weir/relay/systems/internal/encode"
	"weir/relay/systems/internal/items"
)

// What is pending for a user is in a channel of the user's partition, so that it is always with the node that has the user, and the next one finds it. That one
// sends what is left of it, when no attempt of the node before is under way any more. Devices that need nothing more are noted beside it, in the group "reached".

const groupReached = "reached"

// reachedFor is how long it is known that a device was reached: longer than a notification is on its way.
const reachedFor = 24 * time.Hour

// begin notes that an attempt is about to be made, until end is called. It returns false if that is another node's to do. This one may not have heard of it, if it was cut
// off: before an attempt that is made again a record in the log says that it is the node of the user.
func (s *System) begin(d *delivery, again bool) (end func(), ok bool) {
	way := s.ways.User(d.user)
	since := s.ways.Since(way)
	s.attempts.Add(way, since, 1) // before it is looked: who has the user from now on asks
	if d.lost.Load() || s.here(d.user) != nil || again && s.change(way, &broker.Publication{Op: broker.Send, Data: []byte("null")}) != nil {
		s.attempts.Add(way, since, -1)
		return nil, false
	}
	return func() { s.attempts.Add(way, since, -1) }, true
}

// reached notes that a device needs nothing more of a delivery, with the node that has it by now.
func (s *System) reached(d *delivery, device string, as string) {
	channel, key := s.pendingOf(d)
	_, err := s.host.Publish(channel, &broker.Publication{Op: broker.Set, Group: groupReached, Key: key + "." + device, Data: encode.Line(as), TTL: reachedFor, Ack: broker.AckMemory})
	if err != nil {
		s.log.Warn("a device that was reached cannot be recorded: if this node is lost, the device gets the notification again", slog.String("error", err.Error()))
	}
}

// The pauses of what cannot be read yet, or is under way elsewhere.
const (
	lookAgain = 50 * time.Millisecond
	tryAgain  = time.Second
)

// follow reads ways as they become this node's until ctx ends.
func (s *System) follow(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.ways.Wake:
		}
		pause, left := lookAgain, []string(nil)
		var ready []string
		for _, way := range s.ways.Take() {
			var list map[string]*pending
			err := cluster.ErrNotOwner
			if !s.host.Elsewhere(way) {
				list, _, err = s.pendingIn(way)
			}
			switch {
			case s.host.Elsewhere(way): // it is about to be served here, or has been lost
				left = append(left, way)
			case err != nil:
				s.log.Debug("pending notifications cannot be read yet", slog.String("error", err.Error()))
				left, pause = append(left, way), tryAgain
			case len(list) > 0:
				ready = append(ready, way)
			}
		}
		if len(ready) > 0 {
			busy := s.busyElsewhere(ready)
			for _, way := range ready {
				if busy[way] || s.attempts.Earlier(way, s.ways.Since(way)) { // of before another node had it: nobody else asks this one
					left = append(left, way)
				} else if err := s.resumeWay(way); err != nil {
					s.log.Debug("pending notifications are not resumed yet", slog.String("error", err.Error()))
					left, pause = append(left, way), tryAgain
				}
			}
		}
		if len(left) == 0 {
			continue
		}
		s.ways.Back(left)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
			s.ways.Kick()
		}
	}
}

// busyElsewhere returns those of the ways of which other nodes make attempts. One that is not heard makes none any more, or what comes of them will not be known.
func (s *System) busyElsewhere(list []string) map[string]bool {
	busy := make(map[string]bool)
	answers, _ := s.host.CallAll(callBusy, encode.Line(list))
	for _, answer := range answers {
		var ways []string
		_ = json.Unmarshal(answer, &ways) // of a node without notifications
		for _, way := range ways {
			busy[way] = true
		}
	}
	return busy
}

// pendingIn returns what is pending in a channel, by key, and what devices need nothing more of it, by key and device.
func (s *System) pendingIn(channel string) (list map[string]*pending, reached map[string]map[string]string, err error) {
	list, reached = make(map[string]*pending), make(map[string]map[string]string)
	err = items.Each(s.host.Broker(), channel, func(group, key string, data []byte) error {
		key = strings.Clone(key)
		if group == groupPending {
			r := new(pending)
			if json.Unmarshal(data, r) == nil && r.Notification != nil {
				list[key] = r
			}
			return nil
		}
		of, device, _ := strings.Cut(key, ".")
		if reached[of] == nil {
			reached[of] = make(map[string]string)
		}
		as, err := wire.Text(data)
		reached[of][device] = strings.Clone(as)
		return err
	}, groupPending, groupReached)
	return list, reached, err
}

// resumeWay goes on with what is pending in a channel.
func (s *System) resumeWay(channel string) error {
	since := s.ways.Since(channel)
	list, reached, err := s.pendingIn(channel)
	if err != nil {
		return err
	}
	for key, r := range list {
		d, _, err := s.queue.reserve(r.UserID, r.Notification, time.UnixMilli(r.Since))
		if err != nil {
			return err
		}
		if d == nil {
			continue // it is under way here
		}
		if since == 0 || s.ways.Since(channel) != since { // it was lost, maybe before d was there to be given up
			d.settled(cluster.ErrNoOwner)
			s.queue.release(d)
			return cluster.ErrNoOwner
		}
		x := s.inbox(r.UserID)
		err = s.host.Broker().Load(x.channel)
		there := err == nil && x.has(d.n.ID)
		if _, _, still := s.host.Broker().Item(channel, groupPending, key); !still || err != nil || !there {
			d.settled(cluster.ErrNoOwner) // who sends it just now tries again
			s.queue.release(d)
			if err != nil {
				return err
			}
			if still && !errors.Is(s.here(r.UserID), cluster.ErrNotOwner) { // it was not accepted in the end, or the user has removed it
				_ = s.removePending(d) // which is logged
			}
			continue
		}
		d.settled(nil)
		devices := s.list(r.UserID)
		for id, as := range reached[key] {
			devices = slices.DeleteFunc(devices, func(x *device) bool { return x.id == id })
			d.tell(id, as)
		}
		s.queue.start(d, devices)
	}
	return nil
}
