package scenario

import (
	"slices"
	"time"

	"weir/internal/units"
	"weir/loadtest/protocol"
)

// Scenario is one load test. The yaml names are the scenario file's; a field left out has the value of
// the default that its comment states.
type Scenario struct {
	Name  string `yaml:"name"`  // what it is called in reports
	About string `yaml:"about"` // one line for the report

	Target *protocol.Protocol `yaml:"target" json:"-"` // what is measured: a kind of server, or a description of its protocol; that of --target

	System string `yaml:"system"` // a system of weir that is loaded instead of plain channels: chat or analytics; none. Other targets have only channels

	Measure     Measure `yaml:"measure"`     // what latency is of: delivery, publish, connect, echo, script or idle; delivery
	Channels    int     `yaml:"channels"`    // channels in all; 1
	Prefix      string  `yaml:"prefix"`      // channel names are prefix and number; "bench:"
	Subscribers int     `yaml:"subscribers"` // connections in all, spread evenly over the channels; 0
	Follow      int     `yaml:"follow"`      // channels that each connection follows; 1
	Checked     Checked `yaml:"checked"`     // connections that are checked message by message: auto, all, share or a number; auto

	Rate     float64       `yaml:"rate"`     // messages published a second in all (connections a second when measuring connect)
	Duration time.Duration `yaml:"duration"` // length of the measurement; 10s. Not together with stages
	Warmup   time.Duration `yaml:"warmup"`   // load before the measurement, checked but not timed; 1s. Negative: none
	Stages   []Stage       `yaml:"stages"`   // the measurement in steps, instead of rate and duration
	Closed   bool          `yaml:"closed"`   // closed loop: the next message waits for the earlier ones. For ceilings only
	Inflight int           `yaml:"inflight"` // closed loop: most messages (or connections) under way; 256
	Think    time.Duration `yaml:"think"`    // think time: each publisher sends its next request so long after the response to its last, instead of a rate; 0, none

	Payload    units.Size `yaml:"payload"`    // bytes of one message's data, 64 to 1 MiB; 128
	Publishers int        `yaml:"publishers"` // connections that publish; 16
	Batch      int        `yaml:"batch"`      // messages that are due together and leave in one request; 1
	Pipeline   int        `yaml:"pipeline"`   // requests under way on one publisher's connection; 1
	Keys       int        `yaml:"keys"`       // messages are values of this many keys of each publisher and channel: a relay may skip to the newest; 0, every message counts
	Typing     float64    `yaml:"typing"`     // share of messages that are typing signs, which expire and are not counted one by one; 0

	Trace *Trace `yaml:"-" json:"-"` // recorded traffic in the place of rate, channels in turn and equal sizes; nil

	FailIf []string `yaml:"fail-if" json:",omitempty"` // conditions under which the run has failed, such as p99>60ms; --fail-if adds to them

	Script []Action `yaml:"script" json:",omitempty"` // what each user does, step by step. subscribers is how many users there are at a time; each begins again until the time is over. With a rate, so many users begin each second, once each

	Presence bool          `yaml:"presence"` // subscribers also follow who is in their channels
	Churn    float64       `yaml:"churn"`    // connections a second that join a channel and leave again, beside the subscribers; 0
	Stay     time.Duration `yaml:"stay"`     // how long these stay; 1s
	Late     time.Duration `yaml:"late"`     // a delivery this long after it was due is late; 1s
	Drain    time.Duration `yaml:"drain"`    // how long to wait at the end for what is still under way; 10s
}

// Stage is one step of a scenario.
type Stage struct {
	Duration time.Duration `yaml:"duration"` // length of the stage
	Rate     float64       `yaml:"rate"`     // messages a second, reached at the end if ramp is set
	Ramp     bool          `yaml:"ramp"`     // the rate grows evenly from the stage before (from 0 in the first)
	Inflight int           `yaml:"inflight"` // closed loop: messages under way; with think time: connections that publish. Reached at the end if ramp is set
	Open     int           `yaml:"open"`     // measuring idle: connections that there are, reached at the end if ramp is set. Their number only grows
	Slow     float64       `yaml:"slow"`     // share of the connections that does not read from here on
	Herd     bool          `yaml:"herd"`     // all connections are cut when the stage begins, and resume
}

// Measure is what the latency of a scenario is the latency of.
type Measure string

// What can be measured.
const (
	Delivery Measure = "delivery" // from when a message was due to when a checked connection read it
	Publish  Measure = "publish"  // from when a message was due to when the target had answered for it
	Connect  Measure = "connect"  // from when a connection was due to when it was subscribed
	Echo     Measure = "echo"     // from when a request was due to its response, which comes on the same connection: subscribers are connections that ask
	Script   Measure = "script"   // of one run through the script, its sleeps left out, from when it was due
	Idle     Measure = "idle"     // no latency: nothing is published, and what is asked for is connections that stay
)

// Checked is how many connections are checked message by message: a number, Auto, All or Share.
type Checked int

// The named values of Checked. Share is 5 % of the subscribers of each channel, at least 50 of them, or all if there are
// fewer. Auto is All while that costs the client little, and Share otherwise.
const (
	Auto  Checked = 0
	All   Checked = -1
	Share Checked = -2
)

// withDefaults fills in what was left out.
func (s Scenario) withDefaults() Scenario {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	wait := func(v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		}
	}
	switch {
	case len(s.Script) > 0:
		s.Measure = Script
	case s.Measure == "":
		s.Measure = Delivery
	}
	if s.Prefix == "" {
		s.Prefix = "bench:"
	}
	if s.Payload == 0 {
		s.Payload = 128
	}
	def(&s.Channels, 1)
	def(&s.Follow, 1)
	def(&s.Publishers, 16)
	def(&s.Batch, 1)
	def(&s.Pipeline, 1)
	def(&s.Inflight, 256)
	if s.System != "" {
		s.Checked = All // nothing else knows what the messages of a system carry
	}
	wait(&s.Warmup, time.Second)
	wait(&s.Stay, time.Second)
	wait(&s.Late, time.Second)
	wait(&s.Drain, 10*time.Second)
	s.Warmup = max(s.Warmup, 0)
	if len(s.Stages) == 0 {
		wait(&s.Duration, 10*time.Second)
	}
	if open := slices.MaxFunc(slices.Concat(s.Stages, []Stage{{}}), func(a, b Stage) int { return a.Open - b.Open }).Open; s.Measure == Idle && open > 0 {
		s.Subscribers = open
	}
	return s
}

// steps is the measurement as stages.
func (s Scenario) steps() []Stage {
	if len(s.Stages) > 0 {
		return s.Stages
	}
	return []Stage{{Duration: s.Duration, Rate: s.Rate}}
}

// Paced reports whether responses decide when messages are due, and not a timetable.
func (s Scenario) Paced() bool { return s.Closed || s.Think > 0 }
