package link

import (
	"encoding/json"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Hello is what each process announces regularly.
type Hello struct {
	Session  string            `json:"session"`
	Node     string            `json:"node"`
	Policy   string            `json:"policy"`
	Shared   string            `json:"shared,omitempty"` // stands for what must be the same in all processes
	Age      int64             `json:"age,omitempty"`    // milliseconds since it has started
	Heard    map[string]int64  `json:"heard,omitempty"`  // milliseconds since each other one was heard
	Sent     map[string]Sent   `json:"sent,omitempty"`
	Lost     map[string]uint64 `json:"lost,omitempty"`    // links to this process of which something is missing, by session: their epochs
	Notices  map[string]uint64 `json:"notices,omitempty"` // the last that it has of each process
	Leaving  bool              `json:"leaving,omitempty"`
	Draining bool              `json:"draining,omitempty"` // it takes no partitions
	Moves    int               `json:"moves,omitempty"`    // the version of moves that it knows; 0: none
	Cut      int64             `json:"cut,omitempty"`      // milliseconds since it is isolated
	Table    uint64            `json:"table,omitempty"`    // revision of the latest row of an owner that it knows; 0: none, or a version that does not say it
}

// Sent is the epoch and the number up to which a link has sent.
type Sent struct {
	Epoch  uint64 `json:"epoch"`
	Number uint64 `json:"number"`
}

// CutOff reports whether the process has been isolated for longer than a time, so that others take over its partitions.
func (h *Hello) CutOff(while time.Duration) bool { return h.Cut > while.Milliseconds() }

// State returns ready, draining, isolated, silent or left: the state of a process that was last heard so long ago, and counts as silent after
// while.
func (h *Hello) State(ago, while time.Duration) string {
	switch {
	case h.Leaving:
		return "left"
	case ago >= while:
		return "silent"
	case h.CutOff(while):
		return "isolated"
	case h.Draining:
		return "draining"
	}
	return "ready"
}

// Differs reports whether the process is configured in another way than one whose settings have that sum, and stood for that policy in versions that do not know sums.
func (h *Hello) Differs(sum, policy string) bool {
	if h.Shared == "" {
		return h.Policy != policy
	}
	return h.Shared != sum
}

// tied is so little that two processes have started at the same time.
const tied = time.Second

// Later reports whether the process has started later than another one, which has that session and was started so long ago. Of two that have started at the same time it
// is one, and both know which.
func (h *Hello) Later(session string, ago time.Duration) bool {
	switch younger := ago.Milliseconds() - h.Age; {
	case h.Age == 0 || younger < -tied.Milliseconds(): // it does not say its age
		return false
	case younger > tied.Milliseconds():
		return true
	default:
		return h.Session >= session
	}
}

// Row is a row of the table of owners as one process tells it to another one. A list of them is JSON.
type Row struct {
	Partition int             `json:"partition"`
	Value     json.RawMessage `json:"value"`
	Revision  uint64          `json:"revision"`
}

// Sum returns the checksum of a list of settings, which Hello.Shared has.
func Sum(list []string) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(strings.Join(list, "\n")))
	return strconv.FormatUint(h.Sum64(), 36)
}

// Without returns what of a list of settings is not in another one.
func Without(list, other []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(line string) bool { return slices.Contains(other, line) })
}
