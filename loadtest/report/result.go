package report

import (
	"time"

	"weir/loadtest/record"
	"weir/loadtest/unit"
)

// Result is a run as it is reported. Its JSON names are promised; more may be added.
type Result struct {
	Scenario string    `json:"scenario"`
	About    string    `json:"about,omitempty"`
	Target   string    `json:"target"`
	URL      string    `json:"url"`
	Command  string    `json:"command,omitempty"`
	Machine  string    `json:"machine"`
	Started  time.Time `json:"started"`
	Loop     string    `json:"loop"`            // open or closed
	Think    float64   `json:"think,omitempty"` // s; closed: time between a response and the next request of the same connection
	Measure  string    `json:"measure"`         // what latencyMs is of: delivery, publish, connect or echo; idle: of nothing
	Seconds  float64   `json:"seconds"`         // length of the measurement
	Setup    Setup     `json:"setup"`
	Unit     *Unit     `json:"unit,omitempty"` // null when not known

	DeliveriesPerSecond float64 `json:"deliveriesPerSecond"`
	PublishesPerSecond  float64 `json:"publishesPerSecond"`
	ConnectsPerSecond   float64 `json:"connectsPerSecond"`

	Expected   uint64 `json:"expected"`
	Received   uint64 `json:"received"`
	Lost       uint64 `json:"lost"`
	Duplicated uint64 `json:"duplicated"`
	Reordered  uint64 `json:"reordered"`
	Corrupted  uint64 `json:"corrupted"`
	Late       uint64 `json:"late"`       // at checked connections: after the scenario's limit
	Superseded uint64 `json:"superseded"` // replaced by a newer value of the same key before they were sent
	Refused    uint64 `json:"refused"`    // messages the target did not accept
	Unanswered uint64 `json:"unanswered"` // messages whose connection ended before the answer
	Unsent     uint64 `json:"unsent"`     // messages (or connections) due that the target left no room for
	Resent     uint64 `json:"resent"`     // requests sent a second time: the target had closed an idle connection under them

	LatencyMs Quantiles  `json:"latencyMs"`
	AckMs     *Quantiles `json:"ackMs,omitempty"`
	ConnectMs *Quantiles `json:"connectMs,omitempty"`
	Stages    []Stage    `json:"stages,omitempty"`

	ServerCPU    *float64 `json:"serverCpu"` // cores; null when not known
	ServerMemory *Memory  `json:"serverMemory"`
	ClientCPU    float64  `json:"clientCpu"` // cores
	ClientCores  int      `json:"clientCores"`
	Agents       []Agent  `json:"agents,omitempty"` // machines, if there were several: clientCpu and clientCores are of all
	OwnLag       Lag      `json:"ownLag"`

	Script      []Action       `json:"script,omitempty"`      // the steps of users
	DeliveredMs *Quantiles     `json:"deliveredMs,omitempty"` // script: from published to read
	Connections Connections    `json:"connections"`
	Presence    *Presence      `json:"presence,omitempty"`
	Herd        *Herd          `json:"herd,omitempty"`
	Search      []record.Probe `json:"search,omitempty"`

	Valid          bool     `json:"valid"`
	InvalidBecause []string `json:"invalidBecause,omitempty"`
	Troubles       []string `json:"troubles,omitempty"`

	Series []Point     `json:"series"`
	Curve  []CurveStep `json:"curve"`
}

// Setup is what was asked for.
type Setup struct {
	Subscribers int     `json:"subscribers"`
	Channels    int     `json:"channels"`
	Payload     int     `json:"payload"`
	Publishers  int     `json:"publishers"`
	Batch       int     `json:"batch"`
	Rate        float64 `json:"rate"`
}

// Unit is the price of a small write on this machine, which other costs are compared in.
type Unit struct {
	unit.Price
	ServerWrites *float64 `json:"serverWritesPerSecond"` // as many writes would have taken the processor time that the target did; null when not known
}

// Quantiles are latencies in ms.
type Quantiles struct {
	Count int64   `json:"count"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	P999  float64 `json:"p999"`
	Max   float64 `json:"max"`
}

// Stage is one step of a scenario with several.
type Stage struct {
	From      float64   `json:"from"` // s since the load began
	To        float64   `json:"to"`
	Rate      float64   `json:"rate"`
	Slow      float64   `json:"slow,omitempty"`
	Herd      bool      `json:"herd,omitempty"`
	LatencyMs Quantiles `json:"latencyMs"`
}

// Memory is resident memory of the target, in bytes.
type Memory struct {
	Before        int64   `json:"before"` // without connections
	After         int64   `json:"after"`  // with all of them, at the end
	Peak          int64   `json:"peak"`
	PerConnection float64 `json:"perConnection"`
}

// Agent is one of several machines that did the test together. Latencies are by the clock of one of them each.
type Agent struct {
	Name          string  `json:"name"`
	Subscribers   int     `json:"subscribers"`
	Publishers    int     `json:"publishers"`
	OffsetMs      float64 `json:"offsetMs"`      // its clock is ahead of that of the machine that conducted
	UncertaintyMs float64 `json:"uncertaintyMs"` // the offset is that much more or less at most
	DriftMs       float64 `json:"driftMs"`       // the offset has changed in the course of the test
	CPU           float64 `json:"cpu"`           // cores
	Cores         int     `json:"cores"`
	OwnLag        Lag     `json:"ownLag"`
}

// Lag is what the tool itself adds, 99th percentiles in ms.
type Lag struct {
	Send float64 `json:"sendP99"` // messages left later than they were due and the target had room
	Read float64 `json:"readP99"` // arrived messages waited while other connections were read
	Wake float64 `json:"wakeP99"` // the system woke the tool up later than asked
}

// Connections is how the subscribers were watched.
type Connections struct {
	Checked       int     `json:"checked"`       // every message verified
	CheckedLeast  int     `json:"checkedLeast"`  // of the channel of which the fewest are
	Chosen        string  `json:"chosen"`        // how many are checked, and how they were chosen, in words
	Uneven        float64 `json:"uneven"`        // how far their places in the order of connecting are from evenly spread, at most, as a share of all; 0 also when not known
	Counted       int     `json:"counted"`       // frames and bytes counted in the kernel
	Alike         int     `json:"alike"`         // of those: the same frames as a checked one of the same channels
	Similar       int     `json:"similar"`       // of those: as many bytes as a checked one, in other frames
	Unreferenced  int     `json:"unreferenced"`  // of those: no checked one has the same channels; compared with each other
	BytesMismatch int     `json:"bytesMismatch"` // of those: other bytes than expected; their messages are estimated
	Unaccounted   int     `json:"unaccounted"`   // of those: cut and resumed; their messages are not part of expected
	Stalled       int     `json:"stalled"`       // stopped reading on purpose, not part of expected
	StalledCut    uint64  `json:"stalledCut"`    // of them ended by the target
	Closed        uint64  `json:"closed"`        // times the target ended a subscriber
	Gone          int     `json:"gone"`          // subscribers not connected at the end
	Failed        uint64  `json:"failed"`        // visits that did not get in
	Other         uint64  `json:"other"`         // typing signs, expiries and the like at checked connections
	Told          uint64  `json:"told"`          // times the target said that messages may be missing
	Accounting    string  `json:"accounting"`    // the above in a sentence
}

// Action is a step of a script.
type Action struct {
	Name      string    `json:"name"`
	Verb      string    `json:"verb"`
	Failed    uint64    `json:"failed"`
	Why       string    `json:"why,omitempty"` // of the first failure
	LatencyMs Quantiles `json:"latencyMs"`
}

// Presence is who was seen to come and go.
type Presence struct {
	Joined uint64 `json:"joined"` // visitors that got subscribed
	Seen   uint64 `json:"seen"`   // arrivals seen by all watchers
	Unseen uint64 `json:"unseen"` // arrivals not seen
	Leaves uint64 `json:"leaves"` // departures seen
}

// Herd is how all came back.
type Herd struct {
	Resumed uint64  `json:"resumed"`
	Seconds float64 `json:"seconds"` // until the last was back
}

// Point is one interval of the plots.
type Point struct {
	At         float64 `json:"t"` // s
	Deliveries float64 `json:"deliveries"`
	Publishes  float64 `json:"publishes"`
	P50        float64 `json:"p50"` // ms
	P99        float64 `json:"p99"`
	Max        float64 `json:"max"`
	ServerCPU  float64 `json:"serverCpu"` // cores
	ClientCPU  float64 `json:"clientCpu"`
	Memory     int64   `json:"memory"` // bytes
	Open       int64   `json:"open"`   // connections
}

// CurveStep is a point of the percentile curve.
type CurveStep struct {
	Percentile float64 `json:"p"`
	Ms         float64 `json:"ms"`
}
