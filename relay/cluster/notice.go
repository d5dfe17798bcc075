package cluster

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// A notice is what all processes have to act on: those that are there at once, and one that was cut off when it is heard again. Each process
// numbers its own, keeps them and those of others for a while, and names the last one it has of each in its hello: whoever lacks some asks
// for them. One that finds that too much has been forgotten acts on that, see Start.

// Actor acts on a notice, and returns what its sender is told. late is zero, or when the notice was made, if it comes late: what has begun since
// is none of its business. It must be quick.
type Actor func(body []byte, late time.Time) []byte

const (
	noticesKept = 10 * time.Minute
	maxNotices  = 1 << 14        // of one process
	originsKept = 24 * time.Hour // of which it is known which notice was the last
	noticeLimit = time.Second    // until a process that has not answered counts as silent
)

// notice is one of them, as it is kept and sent.
type notice struct {
	Number uint64 `json:"number"`
	Age    int64  `json:"age"` // in milliseconds, when it is sent
	Kind   string `json:"kind"`
	Body   []byte `json:"body"`

	made time.Time // by this process's clock
}

// origin is the notices of one process, this one's own among them. Guarded by notices.mu.
type origin struct {
	done    uint64              // all up to this one have been acted on here
	ahead   map[uint64]struct{} // and these
	kept    []notice            // by number
	dropped uint64              // the last number that is not kept any more
	newest  time.Time           // when that one was made, or the newest that is kept
}

// notices are those of all processes.
type notices struct {
	mu      sync.Mutex
	origins map[string]*origin
	lacking map[string]bool      // members whose last hello named some that had not come
	asking  map[string]time.Time // members that were asked for these, and until when that is waited for
}

// of returns the notices of a process. The caller holds mu.
func (n *notices) of(session string) *origin {
	o := n.origins[session]
	if o == nil {
		o = &origin{ahead: make(map[uint64]struct{})}
		n.origins[session] = o
	}
	return o
}

// take notes a notice. It returns false if it has been acted on. The caller holds notices.mu.
func (o *origin) take(x notice) bool {
	if _, again := o.ahead[x.Number]; again || x.Number <= o.done {
		return false
	}
	o.ahead[x.Number] = struct{}{}
	o.advance()
	at, _ := slices.BinarySearchFunc(o.kept, x.Number, func(k notice, number uint64) int { return cmp.Compare(k.Number, number) })
	o.kept = slices.Insert(o.kept, at, x)
	if x.made.After(o.newest) {
		o.newest = x.made
	}
	if len(o.kept) > maxNotices {
		o.drop(1)
	}
	return true
}

// advance moves done over what follows it. The caller holds notices.mu.
func (o *origin) advance() {
	for {
		if _, ok := o.ahead[o.done+1]; !ok {
			return
		}
		o.done++
		delete(o.ahead, o.done)
	}
}

// drop forgets the oldest ones. The caller holds notices.mu.
func (o *origin) drop(n int) {
	o.dropped = max(o.dropped, o.kept[n-1].Number)
	o.kept = slices.Delete(o.kept, 0, n)
}

// tidy forgets what is over.
func (n *notices) tidy(now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for session, o := range n.origins {
		old := 0
		for old < len(o.kept) && now.Sub(o.kept[old].made) > noticesKept {
			old++
		}
		if old > 0 {
			o.drop(old)
		}
		if now.Sub(o.newest) > originsKept {
			delete(n.origins, session)
		}
	}
	maps.DeleteFunc(n.asking, func(_ string, until time.Time) bool { return now.After(until) })
}

// forget drops what was noted of a member.
func (n *notices) forget(session string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.lacking, session)
}

// heads are the last notices that this process has of each.
func (n *notices) heads() map[string]uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	heads := make(map[string]uint64, len(n.origins))
	for session, o := range n.origins {
		heads[session] = o.done
	}
	return heads
}

// Outcome is what came of a notice.
type Outcome struct {
	Answers map[string][]byte // by node, this one's among them
	Silent  []string          // nodes that have not answered, and act on it when they are heard again
}

// Notify has all processes act on something, this one at once. It returns what the others will have said within a second, or at once with nothing of
// them if it is not to wait.
func (c *Cluster) Notify(kind string, body []byte, wait bool) Outcome {
	c.notices.mu.Lock()
	o := c.notices.of(c.session)
	x := notice{Number: o.done + 1, Kind: kind, Body: body, made: time.Now()}
	o.take(x)
	c.notices.mu.Unlock()
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
		if q.wait(ctx, noticeLimit) == nil {
			out.Answers[node] = q.body
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
	notice
}

// noticesQuery asks for what a process lacks: the last number that it has, by origin.
type noticesQuery map[string]uint64

// noticesAnswer is that, by origin.
type noticesAnswer map[string]struct {
	Notices    []notice `json:"notices"`
	Dropped    uint64   `json:"dropped"`    // the last number that is forgotten
	DroppedAge int64    `json:"droppedAge"` // at most; in milliseconds
}

// act acts on a notice.
func (c *Cluster) act(x notice, late time.Time) (answer []byte) {
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
			m.made = time.Now().Add(-time.Duration(m.Age) * time.Millisecond)
			c.notices.mu.Lock()
			fresh := c.notices.of(m.Origin).take(m.notice)
			c.notices.mu.Unlock()
			if !fresh { // it was asked for meanwhile
				return nil, nil
			}
			return c.act(m.notice, time.Time{}), nil
		},
		callNotices: func(body []byte) ([]byte, error) {
			var q noticesQuery
			if err := json.Unmarshal(body, &q); err != nil {
				return nil, fmt.Errorf("question about notices: %w", err)
			}
			return json.Marshal(c.notices.after(q, time.Now()))
		},
	}
}

// after answers who lacks some.
func (n *notices) after(q noticesQuery, now time.Time) noticesAnswer {
	answer := make(noticesAnswer)
	n.mu.Lock()
	defer n.mu.Unlock()
	for session, number := range q {
		o := n.origins[session]
		if o == nil {
			continue
		}
		a := answer[session]
		a.Dropped, a.DroppedAge = o.dropped, now.Sub(o.newest).Milliseconds()
		if len(o.kept) > 0 { // what was forgotten is older than what is kept
			a.DroppedAge = now.Sub(o.kept[0].made).Milliseconds()
		}
		for _, x := range o.kept {
			if x.Number > number {
				x.Age = now.Sub(x.made).Milliseconds()
				a.Notices = append(a.Notices, x)
			}
		}
		answer[session] = a
	}
	return answer
}

// catchUp asks a member for the notices that its hello names and that have not come.
func (c *Cluster) catchUp(m *member, heads map[string]uint64, now time.Time) {
	query := make(noticesQuery)
	c.notices.mu.Lock()
	for session, number := range heads {
		if o := c.notices.origins[session]; session != c.session && number > 0 && (o == nil || o.done < number) {
			query[session] = 0
			if o != nil {
				query[session] = o.done
			}
		}
	}
	_, asked := c.notices.asking[m.session]
	lacked := c.notices.lacking[m.session]
	if c.notices.lacking[m.session] = len(query) > 0; asked || !lacked || len(query) == 0 { // at first it may be on its way
		c.notices.mu.Unlock()
		return
	}
	c.notices.asking[m.session] = now.Add(2 * answerLimit)
	c.notices.mu.Unlock()
	body, err := json.Marshal(query)
	if err != nil {
		return
	}
	c.mu.Lock()
	q := c.call(m, callNotices, body)
	c.mu.Unlock()
	c.config.Panic.Go(&c.done, "notices", func() { // ends with the answer; Close waits for it
		err := q.wait(c.context, answerLimit)
		var answer noticesAnswer
		if err == nil {
			err = json.Unmarshal(q.body, &answer)
		}
		if err == nil {
			c.caughtUp(answer)
		}
		c.notices.mu.Lock()
		delete(c.notices.asking, m.session)
		c.notices.mu.Unlock()
	}, nil)
}

// caughtUp acts on notices that come late.
func (c *Cluster) caughtUp(answer noticesAnswer) {
	for session, a := range answer {
		gap := time.Now().Add(-time.Duration(a.DroppedAge) * time.Millisecond)
		c.notices.mu.Lock()
		o := c.notices.of(session)
		missed := o.done < a.Dropped
		if missed {
			o.done, o.dropped = a.Dropped, max(o.dropped, a.Dropped)
			maps.DeleteFunc(o.ahead, func(number uint64, _ struct{}) bool { return number <= o.done })
			o.advance()
			if gap.After(o.newest) {
				o.newest = gap
			}
		}
		c.notices.mu.Unlock()
		if missed && gap.After(c.started) && c.missed != nil {
			c.config.Log.Warn("notices of other nodes were missed for too long: sessions from before are ended")
			c.config.Panic.Do("notice", func() { c.missed(gap) })
		}
		for _, x := range a.Notices {
			x.made = time.Now().Add(-time.Duration(x.Age) * time.Millisecond)
			c.notices.mu.Lock()
			fresh := c.notices.of(session).take(x)
			c.notices.mu.Unlock()
			if fresh && x.made.After(c.started) {
				c.act(x, x.made)
			}
		}
	}
}
