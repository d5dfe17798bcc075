package script

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"weir/loadtest/check"
	"weir/loadtest/protocol"
	"weir/loadtest/target"
)

// wait waits for what the step says.
func (u *user) wait(a *action) error {
	w, limit := a.WaitFor, a.WaitFor.Timeout
	if limit == 0 {
		limit = patience
	}
	switch {
	case w.Own:
		return u.until(limit, "not all of its own messages came", func() bool { return len(u.own) == 0 })
	case w.Messages > 0:
		err := u.until(limit, "not as many messages came", func() bool { return u.unseen >= w.Messages })
		u.unseen = max(u.unseen-w.Messages, 0)
		return err
	}
	return u.until(limit, "no such message came", func() bool {
		for i, msg := range u.recent {
			if _, ok := a.match.Rest(msg, &protocol.Values{User: u.client.sub.User, Number: u.number}, nil); ok {
				u.recent = u.recent[i+1:]
				return true
			}
		}
		return false
	})
}

// until reads until something holds.
func (u *user) until(limit time.Duration, otherwise string, holds func() bool) error {
	end := u.crew.cfg.Now() + int64(limit)
	for !holds() {
		left := end - u.crew.cfg.Now()
		if u.crew.over() {
			return errStopped
		}
		if left <= 0 {
			return fmt.Errorf("%s within %v", otherwise, limit)
		}
		left = min(left, look)
		if err := u.read(time.Duration(left)); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
	}
	return nil
}

// Delivered takes a message of a channel.
func (u *user) Delivered(followed int, _ uint64, _, data []byte, deleted bool) {
	if deleted || followed >= len(u.client.sub.Channels) {
		return
	}
	s, err := check.Parse(data)
	if err == nil && int(s.Channel) != u.client.sub.Channels[followed].Number {
		err = check.ErrCorrupt
	}
	if err != nil {
		u.crew.mu.Lock()
		if bytes.HasPrefix(data, []byte(`{"c":`)) || len(data) == 0 {
			u.crew.sum.Corrupted++
		} else {
			u.crew.sum.Other++ // not of this test
		}
		u.crew.mu.Unlock()
		return
	}
	key := source{s.Channel, s.Source}
	k := u.streams[key]
	if k == nil {
		k = &stay{first: s.Number}
		u.streams[key] = k
	}
	if s.Number < k.first { // published before the user came
		return
	}
	k.top = max(k.top, s.Number)
	if k.stream.Add(s.Number-k.first+1) == check.Duplicate {
		return
	}
	u.unseen++
	u.crew.cfg.Watch.Delivered()
	u.crew.delivered(u.crew.cfg.Now() - s.Due)
	if list := u.own[key]; len(list) > 0 {
		if list = slices.DeleteFunc(list, func(n int64) bool { return uint64(n) == s.Number }); len(list) == 0 {
			delete(u.own, key)
		} else {
			u.own[key] = list
		}
	}
}

// Reset implements target.Sink.
func (u *user) Reset(int) {}

// delivered notes how long a delivery took.
func (c *Crew) delivered(took int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deliveries.Record(took)
	if took > int64(c.cfg.Plan.Late) {
		c.sum.Late++
	}
}

var _ target.Sink = (*user)(nil)

// dial opens a connection.
func (u *user) dial(publish bool) (*client, error) {
	ctx, cancel := context.WithTimeout(u.crew.ctx, patience)
	defer cancel()
	nc, err := u.crew.cfg.Dial(ctx, publish)
	if err != nil {
		return nil, err
	}
	k := &client{nc: nc, release: context.AfterFunc(u.crew.ctx, func() { _ = nc.Close() })} // the test ends
	return k, nil
}
