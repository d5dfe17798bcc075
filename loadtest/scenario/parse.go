package scenario

import (
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/goccy/go-yaml"

	"weir/internal/units"
)

// ErrInvalid means that a scenario does not exist or is not valid; the message says where and what
// was expected.
var ErrInvalid = errors.New("invalid scenario")

// ReadFile reads a scenario file. The error wraps ErrInvalid when the content is at fault.
func ReadFile(name string) (Scenario, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return Scenario{}, fmt.Errorf("read scenario: %w", err)
	}
	return Parse(name, b)
}

// Parse reads the YAML of a scenario; name is used in errors. Unknown keys are errors.
func Parse(name string, b []byte) (s Scenario, err error) {
	defer func() { // the library panics over some values that are no YAML of ours
		if r := recover(); r != nil {
			err = fmt.Errorf("%s: the file cannot be read as YAML (%v): %w", name, r, ErrInvalid)
		}
	}()
	if err := yaml.UnmarshalWithOptions(b, &s, yaml.Strict()); err != nil {
		var at yaml.Error
		if errors.As(err, &at) && at.GetToken() != nil && at.GetToken().Position != nil {
			return Scenario{}, fmt.Errorf("%s:%d: %s: %w", name, at.GetToken().Position.Line, at.GetMessage(), ErrInvalid)
		}
		return Scenario{}, fmt.Errorf("%s: %s: %w", name, yaml.FormatError(err, false, false), ErrInvalid)
	}
	if err := s.validate(); err != nil {
		return Scenario{}, fmt.Errorf("%s: %w", name, err)
	}
	return s, nil
}

// checkedNames are the values of Checked that have names.
var checkedNames = map[Checked]string{Auto: "auto", All: "all", Share: "share"}

// UnmarshalText reads "auto", "all", "share" or a number.
func (c *Checked) UnmarshalText(b []byte) error {
	for value, name := range checkedNames {
		if string(b) == name {
			*c = value
			return nil
		}
	}
	n, err := strconv.Atoi(string(b))
	if err != nil || n < 1 {
		return fmt.Errorf("%q: expected auto, all, share or a number of connections", b)
	}
	*c = Checked(n)
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (c Checked) MarshalText() ([]byte, error) {
	if name, ok := checkedNames[c]; ok {
		return []byte(name), nil
	}
	return strconv.AppendInt(nil, int64(c), 10), nil
}

// Limits of a scenario: enough for any test of one client machine, and small enough that a slip of the
// pen does not eat its memory.
const (
	maxSubscribers = 1_000_000
	maxChannels    = 1_000_000
	maxRate        = 1e9
	maxPublishers  = 4096
	maxAsking      = 20_000
	maxBatch       = 10_000
	maxTime        = 24 * time.Hour
)

// validate checks the ranges of a scenario's fields, with defaults filled in. The error wraps
// ErrInvalid.
func (s Scenario) validate() error {
	s = s.withDefaults()
	bad := func(field string, value any, expected string) error {
		return fmt.Errorf("%s: %v: expected %s: %w", field, value, expected, ErrInvalid)
	}
	span := func(v time.Duration, least time.Duration) bool { return v >= least && v <= maxTime }
	switch {
	case s.System != "" && s.System != "chat" && s.System != "analytics":
		return bad("system", s.System, "chat or analytics, or none")
	case s.System != "" && (s.Churn > 0 || s.Typing > 0 || s.Keys > 0):
		return bad("churn, typing or keys", s.System, "none of them: what a system's messages are is its own")
	case s.Measure != Delivery && s.Measure != Publish && s.Measure != Connect && s.Measure != Echo && s.Measure != Script && s.Measure != Idle:
		return bad("measure", s.Measure, "delivery, publish, connect, echo, script or idle")
	case s.Measure == Echo && (s.System != "" || s.Keys > 0 || s.Typing > 0 || s.Presence || s.Churn > 0):
		return bad("system, keys, typing, presence or churn", "given", "none of them when measuring echo")
	case s.Measure == Echo && (s.Subscribers < 1 || s.Subscribers > maxAsking):
		return bad("subscribers", s.Subscribers, "1 to 20000 when measuring echo")
	case !span(s.Think, 0):
		return bad("think", s.Think, "a duration of up to 24h")
	case s.Think > 0 && (s.Rate > 0 || s.Closed || s.Pipeline > 1 || s.Measure == Connect || s.Measure == Idle):
		return bad("think", s.Think, "no rate, closed or pipeline beside it, and something that is published")
	case s.Measure == Idle && s.Publishes():
		return bad("rate", s.Rate, "none when measuring idle, where nothing is published")
	case s.Channels < 1 || s.Channels > maxChannels:
		return bad("channels", s.Channels, "1 to 1000000")
	case s.Subscribers < 0 || s.Subscribers > maxSubscribers:
		return bad("subscribers", s.Subscribers, "0 to 1000000")
	case s.Follow < 1 || s.Follow > s.Channels || s.Follow > 128:
		return bad("follow", s.Follow, "1 to 128, and no more than there are channels")
	case s.Checked < Share:
		return bad("checked", s.Checked, "auto, all, share or a number of connections")
	case s.Payload < 64 || s.Payload > units.MiB:
		return bad("payload", s.Payload, "64B to 1MiB")
	case s.Publishers < 1 || s.Publishers > maxPublishers:
		return bad("publishers", s.Publishers, "1 to 4096")
	case s.Batch < 1 || s.Batch > maxBatch:
		return bad("batch", s.Batch, "1 to 10000")
	case s.Pipeline < 1 || s.Pipeline > 1024:
		return bad("pipeline", s.Pipeline, "1 to 1024")
	case s.Inflight < 1:
		return bad("inflight", s.Inflight, "1 or more")
	case s.Keys < 0 || s.Keys > 100_000:
		return bad("keys", s.Keys, "0 to 100000")
	case !share(s.Typing):
		return bad("typing", s.Typing, "a share from 0 to 1")
	case !rate(s.Churn):
		return bad("churn", s.Churn, "connections a second, 0 to 1e9")
	case !span(s.Warmup, 0) || !span(s.Stay, 0) || !span(s.Late, 1) || !span(s.Drain, 1):
		return bad("warmup, stay, late or drain", s.Warmup, "a duration of up to 24h")
	case len(s.Stages) > 0 && (s.Duration != 0 || s.Rate != 0):
		return bad("stages", len(s.Stages), "either stages, or rate and duration")
	}
	for i, st := range s.steps() {
		at := fmt.Sprintf("stages[%d].", i)
		if len(s.Stages) == 0 {
			at = ""
		}
		switch {
		case !span(st.Duration, time.Millisecond):
			return bad(at+"duration", st.Duration, "1ms to 24h")
		case !rate(st.Rate):
			return bad(at+"rate", st.Rate, "0 to 1e9 a second")
		case st.Rate > 0 && s.Paced() && len(s.Stages) > 0:
			return bad(at+"rate", st.Rate, "inflight in its place: with closed and think, responses decide when messages are due")
		case st.Inflight < 0 || st.Inflight > 0 && !s.Paced():
			return bad(at+"inflight", st.Inflight, "closed or think beside it")
		case st.Open < 0 || st.Open > maxSubscribers || st.Open > 0 && s.Measure != Idle:
			return bad(at+"open", st.Open, "0 to 1000000, when measuring idle")
		case s.Measure == Echo && (st.Slow > 0 || st.Herd):
			return bad(at+"slow or herd", "given", "neither when measuring echo")
		case !share(st.Slow):
			return bad(at+"slow", st.Slow, "a share from 0 to 1")
		case st.Herd && s.Measure == Connect:
			return bad(at+"herd", st.Herd, "no herd when measuring connect, which has no lasting connections")
		}
	}
	return s.checkScript()
}

// Publishes reports whether the scenario asks for anything to be published (or, when measuring connect, connected).
func (s Scenario) Publishes() bool {
	return s.Paced() || len(s.Script) > 0 || s.Rate > 0 || slices.ContainsFunc(s.Stages, func(st Stage) bool { return st.Rate > 0 })
}

func share(v float64) bool { return v >= 0 && v <= 1 }
func rate(v float64) bool  { return v >= 0 && v <= maxRate && !math.IsNaN(v) }
