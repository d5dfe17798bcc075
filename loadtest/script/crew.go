package script

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"weir/loadtest/protocol"
	"weir/loadtest/record"
	"weir/loadtest/scenario"
	"weir/loadtest/target"
)

// Config is what users need to know. Set once.
type Config struct {
	Plan    *scenario.Plan
	Target  target.Target
	Options *target.Options
	Names   []string // of channels
	// User is the name and the token of a user.
	User func(number int) (user, token string, err error)
	// Dial connects to where subscribers do, or to where publishers do.
	Dial    func(ctx context.Context, publish bool) (net.Conn, error)
	Now     func() int64 // ns since the load began
	Sources uint32       // number of the first user as a source of messages
	Freed   func()       // a user that comes at a rate has ended
	Watch   Watch
}

// Watch hears of what users do. Its methods are called by many goroutines.
type Watch interface {
	Opened(took int64)
	Closed()
	Sent(messages int)
	Acked(messages int)
	Read(bytes int)
	Delivered()
	// Passed is called when a run through the script is over: when it was due, when it ended, and how long it took
	// without its sleeps. Runs that failed are not told.
	Passed(due, ended, took int64)
	Trouble(text string)
}

// Crew is the users.
type Crew struct {
	cfg     Config
	actions []*action // of the script, in order, those of repetitions after them
	first   []*action // those that a run begins with
	ctx     context.Context
	cancel  context.CancelFunc
	users   sync.WaitGroup

	mu sync.Mutex

	// Guarded by mu.
	stopped    bool
	looping    bool              // users begin again, and leave what they do when stopped; others finish it
	idle       []int             // numbers of users that do nothing, where they come at a rate
	working    int               // users under way
	numbers    map[source]uint64 // last number of each source
	sum        record.Conn       // what all users received
	deliveries *record.Meter     // from published to read
	sent       []uint64          // by channel
	refused    []uint64          // likewise
	passes     uint64
	failed     uint64
}

// source is a user who publishes, and a channel.
type source struct{ channel, source uint32 }

// action is a step that has been made ready, and what came of it.
type action struct {
	*scenario.Action
	text  *protocol.Template
	match *protocol.Matcher
	steps []*action

	// Guarded by the Crew's mutex.
	took   *record.Meter
	failed uint64
	why    string // of the first failure
}

// New prepares the users of a script. The error wraps protocol.ErrInvalid.
func New(cfg Config) (*Crew, error) {
	c := &Crew{
		cfg: cfg, numbers: map[source]uint64{}, deliveries: record.NewMeter(3), sent: make([]uint64, len(cfg.Names)), refused: make([]uint64, len(cfg.Names)),
	}
	var err error
	if c.first, err = c.prepare("script", cfg.Plan.Script); err != nil {
		return nil, err
	}
	for i := range cfg.Plan.Publishers {
		c.idle = append(c.idle, cfg.Plan.Publishers-1-i)
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c, nil
}

func (c *Crew) prepare(at string, list []scenario.Action) (out []*action, err error) {
	var vars map[string]string
	if p := c.cfg.Options.Protocol; p != nil {
		vars = p.Vars
	}
	for i := range list {
		a, at := &action{Action: &list[i], took: record.NewMeter(3)}, fmt.Sprintf("%s[%d]", at, i)
		if a.Send != "" {
			if a.text, err = protocol.ParseText(at+".send", a.Send, vars); err != nil {
				return nil, err
			}
		}
		if w := a.WaitFor; w != nil && w.Message != nil {
			if a.match, err = w.Message.Compile(at + ".wait-for.message"); err != nil {
				return nil, err
			}
		}
		c.actions = append(c.actions, a)
		if a.steps, err = c.prepare(at+".steps", a.Steps); err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, nil
}

// Everyone has all users begin now, and again until the Crew is stopped.
func (c *Crew) Everyone(from int64) {
	n := c.cfg.Plan.Publishers
	c.mu.Lock()
	defer c.mu.Unlock()
	c.working, c.idle, c.looping = n, nil, true
	for i := range n {
		// Spread over a second, so that they do not all do the same at the same time.
		due := from + int64(i)*int64(time.Second)/int64(n)
		c.users.Go(func() { // ends when stopped
			u := c.user(i)
			defer c.done(u, false)
			for u.pause(due) == nil && u.run(due) {
				due = c.cfg.Now()
			}
		})
	}
}

// Begin has one more user run through the script once. It returns false when all are under way.
func (c *Crew) Begin(due int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.idle)
	if n == 0 || c.stopped {
		return false
	}
	number := c.idle[n-1]
	c.idle = c.idle[:n-1]
	c.working++
	c.users.Go(func() { // ends with the script, at its time limits, or when cancelled
		u := c.user(number)
		defer c.done(u, true)
		u.run(due)
	})
	return true
}

func (c *Crew) done(u *user, again bool) {
	u.close()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.working--
	if again {
		c.idle = append(c.idle, u.number)
		c.cfg.Freed()
	}
}

// Working is how many users are under way.
func (c *Crew) Working() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.working
}

// Stop lets no more runs begin, and ends the sleeps of users who would begin again.
func (c *Crew) Stop() {
	c.mu.Lock()
	c.stopped = true
	c.mu.Unlock()
}

// over reports whether users leave what they do.
func (c *Crew) over() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stopped && c.looping
}

// Wait ends all users and returns when they have ended.
func (c *Crew) Wait() {
	c.Stop()
	c.cancel()
	c.users.Wait()
}

// Fill writes what came of the script into a record. After Wait.
func (c *Crew) Fill(r *record.Record) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range c.actions {
		if a.Repeat > 0 {
			continue
		}
		r.End.Script = append(r.End.Script, record.Action{Name: a.Title(), Verb: a.Verb(), Failed: a.failed, Why: a.why, Took: a.took.Keep()})
	}
	r.End.Deliveries = c.deliveries.Keep()
	r.End.Attempts, r.End.Joined, r.End.Failed = c.passes+c.failed, c.passes, c.failed
	c.sum.Role = record.Checked
	r.Conns = append(r.Conns, c.sum)
	for ch := range c.sent {
		r.Channels[ch].Sent, r.Channels[ch].Refused = c.sent[ch], c.refused[ch]
	}
}
