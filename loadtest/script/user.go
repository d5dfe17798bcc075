package script

import (
	"errors"
	"fmt"
	"os"
	"time"

	"weir/internal/pause"
	"weir/loadtest/check"
	"weir/loadtest/codec"
	"weir/loadtest/protocol"
	"weir/loadtest/target"
)

// patience is how long a step waits where the script does not say it.
const patience = 10 * time.Second

// look is how often a user who waits looks whether the time is over, in ns.
const look = int64(100 * time.Millisecond)

// closing is how long a user waits for the target to close the connection, in ns.
const closing = int64(time.Second)

// keptMessages is how many messages are kept for a step that waits for one.
const keptMessages = 1000

// errStopped ends a run that is not counted: the time is over.
var errStopped = errors.New("the time is over")

// user is one user. Its goroutine owns it.
type user struct {
	crew   *Crew
	number int
	client *client // nil: not connected
	http   *client // over which it publishes; nil: not connected
	slept  int64   // ns of the present run
	turn   int     // of the channels that it publishes to
	refs   uint64

	// What has come since the user connected, and is waited for.
	streams map[source]*stay
	unseen  int                // deliveries that were not waited for
	own     map[source][]int64 // numbers of its own that have not come
	recent  [][]byte           // messages since it last sent something
}

// stay is what came of one source while the user followed its channel.
type stay struct {
	first, top uint64
	stream     check.Stream
}

func (c *Crew) user(number int) *user { return &user{crew: c, number: number} }

// close ends the user's connections.
func (u *user) close() {
	u.disconnect()
	if u.http != nil {
		u.http.close()
		u.http = nil
	}
}

// run goes through the script once. It returns false when the user shall not begin again.
func (u *user) run(due int64) (more bool) {
	c := u.crew
	u.slept = 0
	err := u.do(c.first)
	if err == nil {
		u.leave()
	}
	u.disconnect()
	now := c.cfg.Now()
	if errors.Is(err, errStopped) || c.ctx.Err() != nil {
		return false
	}
	c.mu.Lock()
	if err == nil {
		c.passes++
	} else {
		c.failed++
	}
	c.mu.Unlock()
	if err == nil {
		c.cfg.Watch.Passed(due, now, now-due-u.slept)
	} else {
		u.close()
		if u.pause(now+int64(100*time.Millisecond)) != nil { // a target that is down is not to be hammered
			return false
		}
	}
	return !c.over()
}

// do works off steps, up to the first that fails.
func (u *user) do(list []*action) error {
	for _, a := range list {
		if a.Repeat > 0 {
			for range a.Repeat {
				if err := u.do(a.steps); err != nil {
					return err
				}
			}
			continue
		}
		began := u.crew.cfg.Now()
		err := u.act(a)
		took := u.crew.cfg.Now() - began
		switch {
		case errors.Is(err, errStopped) || u.crew.ctx.Err() != nil:
			return errStopped
		case a.Sleep > 0:
			u.slept += took
		}
		u.crew.mu.Lock()
		if err == nil {
			a.took.Record(took)
		} else if a.failed++; a.why == "" {
			a.why = err.Error()
		}
		u.crew.mu.Unlock()
		if err != nil {
			u.crew.cfg.Watch.Trouble("a user's " + a.Title() + ": " + err.Error())
			return err
		}
	}
	return nil
}

func (u *user) act(a *action) error {
	switch {
	case a.Connect:
		return u.connect()
	case a.Disconnect:
		u.leave()
		return nil
	case a.Subscribe > 0:
		return u.subscribe(a.Subscribe)
	case a.Publish > 0:
		return u.publish(a.Publish)
	case a.Send != "":
		return u.send(a.text)
	case a.WaitFor != nil:
		return u.wait(a)
	}
	err := u.pause(u.crew.cfg.Now() + int64(a.Sleep))
	if err == nil && u.crew.over() {
		return errStopped
	}
	return err
}

// pause reads until a moment.
func (u *user) pause(until int64) error {
	for {
		left := until - u.crew.cfg.Now()
		if left <= 0 {
			return nil
		}
		if u.crew.over() {
			return errStopped
		}
		left = min(left, look)
		if u.client == nil {
			if err := pause.For(u.crew.ctx, time.Duration(left)); err != nil {
				return errStopped
			}
			continue
		}
		if err := u.read(time.Duration(left)); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
	}
}

// follow is the channels of the next n subscriptions.
func (u *user) follow(n int) {
	s := &u.client.sub
	for range n {
		ch := (u.number + len(s.Channels)) % len(u.crew.cfg.Names)
		s.Channels = append(s.Channels, target.Followed{Name: u.crew.cfg.Names[ch], Number: ch})
	}
}

// joiner is the target if it lets connections subscribe later.
func (c *Crew) joiner() target.Joiner {
	if j, ok := c.cfg.Target.(target.Joiner); ok && j.Joins() {
		return j
	}
	return nil
}

// connect opens the connection and logs in. A target that has to be told channels then is told those of all steps that
// subscribe.
func (u *user) connect() error {
	c := u.crew
	name, token, err := c.cfg.User(u.number)
	if err != nil {
		return err
	}
	u.streams, u.own, u.unseen, u.recent = map[source]*stay{}, map[source][]int64{}, 0, nil
	began := c.cfg.Now()
	if u.client, err = u.dial(false); err != nil {
		return err
	}
	u.client.sub = target.Subscriber{Index: u.number, User: name, Token: token}
	if c.joiner() == nil {
		n := 0
		for _, a := range c.actions {
			n += a.Subscribe
		}
		u.follow(min(max(n, 1), len(c.cfg.Names)))
	}
	if err := u.open(); err != nil {
		u.client.close()
		u.client = nil
		return err
	}
	c.cfg.Watch.Opened(c.cfg.Now() - began)
	return nil
}

// subscribe follows more channels.
func (u *user) subscribe(n int) error {
	j := u.crew.joiner()
	if j == nil {
		return nil // since it connected
	}
	s := &u.client.sub
	from := len(s.Channels)
	u.follow(n)
	if err := u.reply(j.Join(s, from)); err != nil {
		return err
	}
	return u.until(patience, "the subscription was not confirmed", func() bool { return s.Subscribed })
}

// leave closes the connection in order: a connection that is ended while something waits to be read takes what was sent
// last with it.
func (u *user) leave() {
	if u.client != nil && u.client.up && u.crew.cfg.Target.Traits().Stream == target.WebSocket &&
		u.client.write(codec.AppendFrame(nil, codec.OpClose, []byte{0x03, 0xe8})) == nil { // 1000, normal
		for end := u.crew.cfg.Now() + closing; u.crew.ctx.Err() == nil && u.read(time.Duration(end-u.crew.cfg.Now())) == nil; { // until the target's close frame
		}
	}
	u.disconnect()
}

// disconnect ends the connection, and adds up what came over it.
func (u *user) disconnect() {
	if u.client == nil {
		return
	}
	u.client.close()
	u.client = nil
	u.crew.cfg.Watch.Closed()
	u.crew.mu.Lock()
	defer u.crew.mu.Unlock()
	sum := &u.crew.sum
	for _, s := range u.streams {
		sum.Received += s.stream.Received
		sum.Duplicated += s.stream.Duplicated
		sum.Reordered += s.stream.Reordered
		sum.Missing += s.stream.Missing(s.top - s.first + 1)
	}
	u.streams = nil
}

// publish publishes messages, one a request, and waits for each answer.
func (u *user) publish(n int) error {
	c, t := u.crew, u.crew.cfg.Target
	socket := t.Traits().Socket
	if socket && u.client == nil {
		return errors.New("expected connect before publish: this target is published to over the user's connection")
	}
	for range n {
		ch := u.number % len(c.cfg.Names)
		followed := false
		if u.client != nil && len(u.client.sub.Channels) > 0 {
			ch = u.client.sub.Channels[u.turn%len(u.client.sub.Channels)].Number
			u.turn++
			followed = true
		}
		from := source{uint32(ch), c.cfg.Sources + uint32(u.number)}
		c.mu.Lock()
		c.numbers[from]++
		number := c.numbers[from]
		c.sent[ch]++
		c.mu.Unlock()
		data := check.Stamp{Channel: from.channel, Source: from.source, Number: number, Due: c.cfg.Now()}.Append(nil, int(c.cfg.Plan.Payload))
		if followed {
			u.own[from] = append(u.own[from], int64(number))
		}
		out := t.Publish(nil, []target.Message{{Channel: c.cfg.Names[ch], Data: data}})
		c.cfg.Watch.Sent(1)
		if socket {
			if err := u.client.write(out); err != nil {
				return err
			}
			c.cfg.Watch.Acked(1)
			continue
		}
		status, body, err := u.request(out)
		switch {
		case err == nil && t.Refused(status, body, 1) == 0:
			c.cfg.Watch.Acked(1)
			continue
		case err == nil:
			err = fmt.Errorf("returned status %d: %.200s", status, body)
		}
		c.mu.Lock()
		c.refused[ch]++
		c.mu.Unlock()
		return err
	}
	return nil
}

// send sends a message of the script's.
func (u *user) send(text *protocol.Template) error {
	s := &u.client.sub
	u.refs++
	v := protocol.Values{User: s.User, Token: s.Token, Number: u.number, Key: u.crew.cfg.Options.Key, Ref: u.refs}
	if len(s.Channels) > 0 {
		v.Channel, v.Topic = s.Channels[0].Name, s.Channels[0].Name
	}
	u.recent = nil
	return u.client.write(codec.AppendFrame(nil, codec.OpText, text.Append(nil, &v, nil)))
}
