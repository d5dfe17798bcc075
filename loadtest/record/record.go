package record

import (
	"time"

	"weir/loadtest/scenario"
	"weir/loadtest/unit"
)

// version is the version of the file form that is written. Files of the same version are read.
const version = 1

// Record is one run. All times are nanoseconds since the load began, unless they say otherwise.
type Record struct {
	Header   Header
	Buckets  []Bucket
	Conns    []Conn
	Channels []Channel
	End      End
}

// Header is what was asked for and where it ran.
type Header struct {
	Format   string            `json:"format"` // "weir-run"
	Version  int               `json:"version"`
	Started  time.Time         `json:"started"` // when the load began
	Target   string            `json:"target"`
	URL      string            `json:"url"`
	Command  string            `json:"command,omitempty"`
	Machine  string            `json:"machine"`
	Cores    int               `json:"cores"` // processors the client may use
	Scenario scenario.Scenario `json:"scenario"`
	Interval int64             `json:"interval"` // length of a Bucket
	Warm     int64             `json:"warm"`     // when the measurement begins
	Until    int64             `json:"until"`    // when the load ends
	Steps    []Step            `json:"steps"`
	Agents   []Agent           `json:"agents,omitempty"` // machines, if there were several
	Socket   bool              `json:"socket,omitempty"` // published on a WebSocket: nothing is acknowledged
	Skimmed  bool              `json:"skimmed"`          // counted connections were followed frame by frame, not by bytes alone
	Unit     *unit.Price       `json:"unit,omitempty"`   // price of a small write on this machine, before the test; nil: not known
}

// Agent is one of several machines that did a test together.
type Agent struct {
	Name        string    `json:"name"` // its address
	Machine     string    `json:"machine"`
	Cores       int       `json:"cores"`
	Subscribers int       `json:"subscribers"`
	Publishers  int       `json:"publishers"`
	Offset      int64     `json:"offset"`      // ns its clock is ahead of that of the machine that conducts
	Uncertainty int64     `json:"uncertainty"` // ns: the offset is that much more or less at most
	Drift       int64     `json:"drift"`       // ns the offset has changed in the course of the test
	Client      int64     `json:"client"`      // CPU ns in the measurement
	SendLag     Histogram `json:"sendLag,omitempty"`
	ReadLag     Histogram `json:"readLag,omitempty"`
	Hiccup      Histogram `json:"hiccup,omitempty"`
}

// Step is a stage of the timetable.
type Step struct {
	From   int64   `json:"from"`
	To     int64   `json:"to"`
	Rate   float64 `json:"rate"`
	Warmup bool    `json:"warmup,omitempty"`
	Slow   float64 `json:"slow,omitempty"`
	Herd   bool    `json:"herd,omitempty"`
}

// Bucket is what happened in one interval. Counts are of the interval, levels as they stood at its end.
type Bucket struct {
	At       int64     `json:"t"`           // its beginning
	Span     int64     `json:"d"`           // its length: that of Header.Interval, or more
	Bytes    uint64    `json:"b,omitempty"` // payload bytes that arrived at all subscribers
	Messages uint64    `json:"m,omitempty"` // deliveries at checked connections
	Checked  uint64    `json:"k,omitempty"` // payload bytes that arrived at checked connections
	Sent     uint64    `json:"s,omitempty"` // messages published
	Acked    uint64    `json:"a,omitempty"` // messages acknowledged
	Opened   uint64    `json:"o,omitempty"` // connections that got subscribed
	Open     int64     `json:"n,omitempty"` // level: connections
	Client   int64     `json:"c,omitempty"` // CPU ns of the client
	Server   int64     `json:"p,omitempty"` // CPU ns of the target, when known
	RSS      int64     `json:"r,omitempty"` // level: resident bytes of the target, when known
	Latency  Histogram `json:"h,omitempty"` // of what the scenario measures, by when it ended
}

// Role is how a connection was watched.
type Role string

// The roles.
const (
	Checked Role = "checked" // every message verified
	Counted Role = "counted" // frames and bytes counted
	Stalled Role = "stalled" // stopped reading on purpose
)

// Conn is what one subscriber saw.
type Conn struct {
	Role       Role   `json:"role"`
	Channels   []int  `json:"ch"`
	Received   uint64 `json:"rx,omitempty"`     // checked: distinct messages
	Missing    uint64 `json:"miss,omitempty"`   // checked: published and not refused, and not received
	Duplicated uint64 `json:"dup,omitempty"`    // checked
	Reordered  uint64 `json:"order,omitempty"`  // checked
	Corrupted  uint64 `json:"bad,omitempty"`    // checked
	Late       uint64 `json:"late,omitempty"`   // checked
	Superseded uint64 `json:"newer,omitempty"`  // checked, with keys: skipped because a newer value came
	Other      uint64 `json:"other,omitempty"`  // checked: typing signs, expiries and the like
	Told       uint64 `json:"told,omitempty"`   // checked: times the target said that messages may be missing
	Joins      uint64 `json:"joins,omitempty"`  // checked, with presence: arrivals seen
	Unseen     uint64 `json:"unseen,omitempty"` // checked, with presence: arrivals not seen
	Leaves     uint64 `json:"leaves,omitempty"` // checked, with presence
	Bytes      uint64 `json:"bytes,omitempty"`  // payload bytes
	Frames     uint64 `json:"frames,omitempty"` // data frames
	Order      uint64 `json:"hash,omitempty"`   // hash over the sizes of its data frames
	Resumed    uint64 `json:"resumed,omitempty"`
	Closes     uint64 `json:"closes,omitempty"` // times the target ended it
	Code       int    `json:"code,omitempty"`   // close code of the last time
	Place      int    `json:"place,omitempty"`  // in the order of connecting, from 1, of the last time; 0: not known
}

// Channel is what was published to one channel.
type Channel struct {
	Sent       uint64 `json:"n"`
	Refused    uint64 `json:"refused,omitempty"`
	Unanswered uint64 `json:"open,omitempty"` // the connection ended before the answer
}

// End is what is known when all is over.
type End struct {
	Latency    []Histogram `json:"latency"`             // of each step, by when it was due; 3 digits
	Ack        Histogram   `json:"ack,omitempty"`       // from due to acknowledged, after the warm-up
	Connect    Histogram   `json:"connect,omitempty"`   // from due to subscribed
	SendLag    Histogram   `json:"sendLag,omitempty"`   // how late the client itself was in sending
	ReadLag    Histogram   `json:"readLag,omitempty"`   // how long the client was busy with other connections before it read
	Hiccup     Histogram   `json:"hiccup,omitempty"`    // how late the client woke up from a sleep
	Unsent     int64       `json:"unsent,omitempty"`    // messages due that could not be sent: the target did not take them
	Typing     uint64      `json:"typing,omitempty"`    // typing signs sent
	Joined     uint64      `json:"joined,omitempty"`    // connections that joined by churn
	Attempts   uint64      `json:"attempts,omitempty"`  // connections tried by churn
	Failed     uint64      `json:"failed,omitempty"`    // connections that did not get subscribed
	Cut        uint64      `json:"cut,omitempty"`       // stalled connections that the target ended
	Gone       int         `json:"gone,omitempty"`      // subscribers that were not connected at the end, those that stalled left out
	Down       bool        `json:"down,omitempty"`      // at the end no publisher could connect, or the target answered none of them
	Resent     uint64      `json:"resent,omitempty"`    // requests that were sent a second time: the target had closed an idle connection under them
	Drained    int64       `json:"drained,omitempty"`   // ns after the load ended until everything was there (or given up)
	Resumed    uint64      `json:"resumed,omitempty"`   // connections that came back after a herd
	ResumedIn  int64       `json:"resumedIn,omitempty"` // ns until the last of them
	IdleRSS    [2]int64    `json:"idleRss,omitzero"`    // bytes before and with all connections
	PeakRSS    int64       `json:"peakRss,omitempty"`
	Script     []Action    `json:"script,omitempty"`     // the steps of users
	Deliveries Histogram   `json:"deliveries,omitempty"` // script: from published to read
	Messages   []string    `json:"messages,omitempty"`   // what went wrong, in words; the first few
	Probes     []Probe     `json:"probes,omitempty"`     // of a search for the highest rate; the record is of the last one
	Complete   bool        `json:"complete"`
}

// Action is a step of a script.
type Action struct {
	Name   string    `json:"name"`
	Verb   string    `json:"verb"` // what it does
	Failed uint64    `json:"failed,omitempty"`
	Why    string    `json:"why,omitempty"` // of the first failure
	Took   Histogram `json:"took,omitempty"`
}

// Probe is one try of a search for the highest rate.
type Probe struct {
	Rate       float64 `json:"rate"`       // messages published a second
	Deliveries float64 `json:"deliveries"` // deliveries a second
	P99        float64 `json:"p99"`        // ms
	Held       bool    `json:"held"`
	Why        string  `json:"why,omitempty"` // why it did not hold
}
