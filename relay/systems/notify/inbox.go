package notify

import (
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"time"

	"weir/broker"
	"weir/internal/wire"
	"weir/relay/systems/internal/encode"
	"weir/relay/systems/internal/items"
)

const groupNotifications = "notifications"

// inbox is the notifications of a user: items of the user's own channel, which every connection of theirs follows.
type inbox struct {
	system  *System
	channel string
}

func (s *System) inbox(user string) inbox { return inbox{s, wire.UserChannel(user)} }

// put adds a notification, and removes the oldest ones beyond the limit.
func (x inbox) put(n *notification) error {
	s := x.system
	data := encode.Line(n)
	if len(data) > int(s.host.Config().Limit.Message) {
		return errTooLarge
	}
	if err := x.set(n.ID, data, s.config.Keep); err != nil {
		return err
	}
	ids, err := x.ids()
	if err != nil {
		return err
	}
	for _, id := range ids[:max(0, len(ids)-s.config.Inbox)] {
		if err := x.remove(id); err != nil {
			return err
		}
	}
	return nil
}

func (x inbox) set(id string, data []byte, ttl time.Duration) error {
	return x.system.change(x.channel, &broker.Publication{Op: broker.Set, Group: groupNotifications, Key: id, Data: data, TTL: ttl})
}

func (x inbox) remove(id string) error {
	return x.system.change(x.channel, &broker.Publication{Op: broker.Delete, Group: groupNotifications, Key: id})
}

// withdraw removes a notification that only the disk has refused: when it is sent again, it counts as new.
func (x inbox) withdraw(id string) {
	p := &broker.Publication{Op: broker.Delete, Group: groupNotifications, Key: id, Ack: broker.AckMemory}
	if err := x.system.change(x.channel, p); err != nil {
		x.system.log.Warn("notification that was refused is still shown", slog.String("notification", id), slog.String("error", err.Error()))
	}
}

// has reports whether there is a notification with an id.
func (x inbox) has(id string) bool {
	_, _, ok := x.system.host.Broker().Item(x.channel, groupNotifications, id)
	return ok
}

// confirm waits until everything that was put is on disk. No notification has that id.
func (x inbox) confirm() error { return x.remove("none") }

// read calls f with each notification, the oldest first. Its arguments are valid during the call only.
func (x inbox) read(f func(id string, data []byte)) error {
	return items.Each(x.system.host.Broker(), x.channel, func(_, id string, data []byte) error {
		f(id, data)
		return nil
	}, groupNotifications)
}

// ids returns the ids of the notifications, the oldest first.
func (x inbox) ids() ([]string, error) {
	var ids []string
	err := x.read(func(id string, _ []byte) { ids = append(ids, strings.Clone(id)) })
	return ids, err
}

// page is a page of notifications.
type page struct {
	Notifications []*notification `json:"notifications"` // the newest first
	Unread        int             `json:"unread"`        // of all
	More          bool            `json:"more"`          // there are older ones
}

// page returns the newest limit notifications that are older than the one with an id; with "", the newest of all.
func (x inbox) page(before string, limit int) (*page, error) {
	var all []*notification
	p := &page{Notifications: []*notification{}}
	err := x.read(func(_ string, data []byte) {
		n := new(notification)
		if json.Unmarshal(data, n) != nil {
			return // written by somebody else
		}
		all = append(all, n)
		if !n.Read {
			p.Unread++
		}
	})
	if err != nil {
		return nil, err
	}
	if before != "" {
		i := slices.IndexFunc(all, func(n *notification) bool { return n.ID == before })
		if i < 0 {
			return nil, notFound("before: no such notification")
		}
		all = all[:i]
	}
	from := max(0, len(all)-limit)
	p.More = from > 0
	for _, n := range slices.Backward(all[from:]) {
		p.Notifications = append(p.Notifications, n)
	}
	return p, nil
}

// mark marks notifications as read: those with the ids, or all of them if ids is nil. It returns how many were unread, and
// how many of the ids are unknown.
func (x inbox) mark(ids []string) (marked, unknown int, err error) {
	if ids == nil {
		if ids, err = x.ids(); err != nil {
			return 0, 0, err
		}
	}
	s := x.system
	if err := s.host.Broker().Load(x.channel); err != nil {
		return 0, 0, err
	}
	now := s.host.Now()
	for _, id := range ids {
		data, _, ok := s.host.Broker().Item(x.channel, groupNotifications, id)
		var n notification
		if !ok || json.Unmarshal(data, &n) != nil {
			unknown++
			continue
		}
		if n.Read {
			continue
		}
		n.Read, n.ReadAt = true, now.UnixMilli()
		left := time.UnixMilli(n.Timestamp).Add(s.config.Keep).Sub(now) // setting it again must not keep it longer
		if err := x.set(id, encode.Line(&n), max(left, time.Second)); err != nil {
			return marked, unknown, err
		}
		marked++
	}
	return marked, unknown, nil
}
