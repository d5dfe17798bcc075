package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"
	"weir/relay/cluster/notices"
)

// A notice is what all processes have to act on: those that are there at once, and one that was cut off when it is heard again. Each process
// numbers its own, keeps them and those of others for a while, and names the last one it has of each in its hello: whoever lacks some asks
// for them. One that finds that too much has been forgotten acts on that, see Start.

// Actor acts on a notice, and returns the answer to its sender. It must be quick. If the notice comes late, late is when it was made, and the
// Actor leaves alone what has begun since; otherwise late is zero.
type Actor func(body []byte, late time.Time) []byte

// noticeLimit is how long until a process that has not answered counts as silent.
const noticeLimit = time.Second

// Outcome is the result of a notice.
type Outcome struct {
	Answers map[string][]byte // by node, this one's among them
	Silent  []string          // nodes that have not answered, and act on it when they are heard again
}

// Notify has all nodes act on something, this one at once. With wait it returns the answers that come within a second; without, only this
// node's.
func (c *Cluster) Notify(kind string, body []byte, wait bool) Outcome {
	x := c.notices.Make(c.session, kind, body)
	out := Outcome{Answers: map[string][]byte{c.config.Node: c.act(x, time.Time{})}}
	message, err := json.Marshal(noticeMessage{c.session, x})
	if err != nil { // nothing in it can fail
		return out
	}
	asked, silent := c.notifyAll(message)
	if !wait {
		return out
	}
	ctx, cancel := context.WithTimeout(c.context, noticeLimit)
	defer cancel()
	for node, q := range asked {
		if q.Wait(ctx, noticeLimit) == nil {
			out.Answers[node] = q.Body
		} else {
			silent = append(silent, node)
		}
	}
	for _, node := range silent {
		if _, ok := out.Answers[node]; !ok && !slices.Contains(out.Silent, node) { // it has not started anew meanwhile
			out.Silent = append(out.Silent, node)
		}
	}
	slices.Sort(out.Silent)
	return out
}

// notifyAll sends a notice to all that are there, and returns who is not.
func (c *Cluster) notifyAll(message []byte) (asked map[string]*request, silent []string) {
	asked = make(map[string]*request)
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.members {
		switch {
		case c.alive(m.session, now):
			asked[m.node] = c.call(m, callNotice, message)
		case m.node != "" && !m.hello.Leaving:
			silent = append(silent, m.node)
		}
	}
	return asked, silent
}

// noticeMessage is a notice on its way.
type noticeMessage struct {
	Origin string `json:"origin"`
	notices.Notice
}

// act acts on a notice.
func (c *Cluster) act(x notices.Notice, late time.Time) (answer []byte) {
	if f := c.actors[x.Kind]; f != nil {
		c.config.Panic.Do("notice", func() { answer = f(x.Body, late) })
	}
	return answer
}

// noticeCalls are the handlers of calls about notices.
func (c *Cluster) noticeCalls() map[string]Handler {
	return map[string]Handler{
		callNotice: func(body []byte) ([]byte, error) {
			var m noticeMessage
			if err := json.Unmarshal(body, &m); err != nil {
				return nil, fmt.Errorf("notice: %w", err)
			}
			if !c.notices.Take(m.Origin, &m.Notice) { // it was asked for meanwhile
				return nil, nil
			}
			return c.act(m.Notice, time.Time{}), nil
		},
		callNotices: func(body []byte) ([]byte, error) {
			var q notices.Query
			if err := json.Unmarshal(body, &q); err != nil {
				return nil, fmt.Errorf("request for notices: %w", err)
			}
			return json.Marshal(c.notices.After(q, time.Now()))
		},
	}
}

// catchUp asks a member for the notices that its hello names and that have not come.
func (c *Cluster) catchUp(m *member, heads map[string]uint64, now time.Time) {
	query := c.notices.Lacking(c.session, m.session, heads, now.Add(2*answerLimit))
	if query == nil {
		return
	}
	body, err := json.Marshal(query)
	if err != nil {
		return
	}
	c.mu.Lock()
	q := c.call(m, callNotices, body)
	c.mu.Unlock()
	c.config.Panic.Go(&c.done, "notices", func() { // ends with the answer; Close waits for it
		err := q.Wait(c.context, answerLimit)
		var answer notices.Answer
		if err == nil {
			err = json.Unmarshal(q.Body, &answer)
		}
		if err == nil {
			c.caughtUp(answer)
		}
		c.notices.Asked(m.session)
	}, nil)
}

// caughtUp acts on notices that come late.
func (c *Cluster) caughtUp(answer notices.Answer) {
	c.notices.CatchUp(answer, func(gap time.Time) {
		if gap.After(c.started) && c.missed != nil {
			c.config.Log.Warn("this node has missed disconnects or revocations of other nodes for too long: all sessions that began before are ended")
			c.config.Panic.Do("notice", func() { c.missed(gap) })
		}
	}, func(x notices.Notice) {
		if x.Made().After(c.started) {
			c.act(x, x.Made())
		}
	})
}
