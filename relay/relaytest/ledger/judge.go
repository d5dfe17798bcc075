package ledger

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"weir/loadtest/check"
)

// problemLimit bounds how many findings are put in words.
const problemLimit = 20

// place is a position of one channel.
type place struct {
	chn uint32
	at  Position
}

// judge holds one judgement while it is made.
type judge struct {
	Verdict
	forks    bool
	acked    map[uint32]map[string][]mark // by channel and epoch, ascending by seq
	promised map[check.Stamp]Position     // of what was acknowledged
	placed   map[place]check.Stamp        // what stands where, from acknowledgements and from readers
}

type mark struct {
	seq   uint64
	stamp check.Stamp
}

// Judge holds the readers against the ledger. It is called when everything in flight has arrived, and
// no publisher or reader uses the ledger or the readers any more.
func (l *Ledger) Judge(readers ...*Reader) Verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	j := judge{forks: l.Forks, acked: map[uint32]map[string][]mark{}, promised: map[check.Stamp]Position{}, placed: map[place]check.Stamp{}}
	for s, e := range l.entries {
		if e.fate != acked {
			continue
		}
		j.Acknowledged++
		j.promised[s] = e.at
		epochs := j.acked[s.Channel]
		if epochs == nil {
			epochs = map[string][]mark{}
			j.acked[s.Channel] = epochs
		}
		epochs[e.at.Epoch] = append(epochs[e.at.Epoch], mark{e.at.Seq, s})
		j.place(place{s.Channel, e.at}, s, "the ledger")
	}
	for _, epochs := range j.acked {
		for _, marks := range epochs {
			slices.SortFunc(marks, func(a, b mark) int { return int(int64(a.seq - b.seq)) })
		}
	}
	for _, r := range readers {
		j.read(r)
	}
	return j.Verdict
}

func (j *judge) problem(format string, args ...any) {
	if len(j.Problems) < problemLimit {
		j.Problems = append(j.Problems, fmt.Sprintf(format, args...))
	}
}

// place checks that only one message ever stands at a position.
func (j *judge) place(p place, s check.Stamp, who string) {
	if was, ok := j.placed[p]; !ok {
		j.placed[p] = s
	} else if was != s {
		j.Disagreed++
		j.problem("channel %d at %s/%d: %s has %v, where another has %v", p.chn, p.at.Epoch, p.at.Seq, who, s, was)
	}
}

// cursor is where a reader stands in one channel.
type cursor struct {
	at   Position
	lost int        // how often the log was lost under it
	from []Position // starts of the stretches the reader must have complete, one for each reset
	ends []Position
}

func (j *judge) read(r *Reader) {
	j.Corrupted += r.corrupt
	if r.corrupt > 0 {
		j.problem("%s: %d damaged payloads", r.Name, r.corrupt)
	}
	seen := map[check.Stamp]sight{}
	tops := map[source]uint64{}
	cursors := map[uint32]*cursor{}
	for _, e := range r.log {
		c := cursors[e.chn]
		if c == nil {
			c = &cursor{}
			cursors[e.chn] = c
			c.from = append(c.from, e.at)
			c.at = e.at
			if e.kind != delivered {
				continue
			}
			c.at.Seq--
			c.from[0] = c.at
		}
		switch e.kind {
		case reset:
			if e.at.Epoch != c.at.Epoch || j.forks && e.at.Seq < c.at.Seq {
				c.lost++
				if j.forks {
					maps.DeleteFunc(tops, func(s source, _ uint64) bool { return s.channel == e.chn })
				}
			}
			c.ends = append(c.ends, c.at)
			c.at = e.at
			c.from = append(c.from, c.at)
		case resumed:
			if e.at.Seq < c.at.Seq {
				j.Reordered++
				j.problem("%s: channel %d resumed as recovered at %v, after %v", r.Name, e.chn, e.at, c.at)
			}
			if e.at.Epoch != c.at.Epoch {
				// The log goes on under another epoch: everything acknowledged in the one before was promised too.
				end := Position{c.at.Epoch, math.MaxUint64}
				if j.forks {
					end = c.at
				}
				c.ends = append(c.ends, end)
				c.at.Epoch = e.at.Epoch
				c.from = append(c.from, c.at)
			}
		case delivered:
			j.deliver(r, c, e, seen, tops)
		}
	}
	for chn, c := range cursors {
		j.complete(r, chn, c, seen)
	}
}

// sight is a message that a reader has got.
type sight struct {
	at   Position
	lost int // how often the log had been lost by then
}

// again says that a message may come a second time: it was lost with the log, as the reader was told, before its
// publisher was answered, who then sent it again. Where logs fork, a reader that was told so may have come to a node that has not heard of it yet.
func (j *judge) again(s check.Stamp, first sight, c *cursor) bool {
	return first.lost < c.lost && (j.forks || j.promised[s] != first.at)
}

// belated says that a message stands where its publisher was not told: where logs fork, what was acknowledged in an epoch that is gone may come once more from an attempt before that
// which another node has held, and what was published after it may have come to the epoch that goes on before. So may what was never acknowledged: its publisher has given it up and gone on.
func (j *judge) belated(s check.Stamp, at Position) bool {
	promised, ok := j.promised[s]
	return j.forks && (!ok || promised.Epoch != at.Epoch && promised.Seq != at.Seq)
}

// deliver judges one message of one reader: never twice, positions and numbers only grow.
func (j *judge) deliver(r *Reader, c *cursor, e sighting, seen map[check.Stamp]sight, tops map[source]uint64) {
	j.Received++
	at := Position{c.at.Epoch, e.at.Seq}
	key := source{e.stamp.Channel, e.stamp.Source}
	first, known := seen[e.stamp]
	switch {
	case known && !j.again(e.stamp, first, c):
		j.Duplicated++
		j.problem("%s: channel %d got %v twice, again at %v", r.Name, e.chn, e.stamp, at)
		return
	case at.Seq <= c.at.Seq:
		j.Reordered++
		j.problem("%s: channel %d got position %v after %v", r.Name, e.chn, at, c.at)
	case e.stamp.Number < tops[key] && !j.belated(e.stamp, at):
		j.Reordered++
		j.problem("%s: channel %d got number %d of source %d after %d", r.Name, e.chn, e.stamp.Number, e.stamp.Source, tops[key])
	}
	j.place(place{e.chn, at}, e.stamp, r.Name)
	seen[e.stamp] = sight{at, c.lost}
	tops[key] = max(tops[key], e.stamp.Number)
	c.at.Seq = max(c.at.Seq, at.Seq)
}

// complete looks for acknowledged messages that the reader should have and does not.
func (j *judge) complete(r *Reader, chn uint32, c *cursor, seen map[check.Stamp]sight) {
	last := len(c.from) - 1
	for _, epoch := range slices.Sorted(maps.Keys(j.acked[chn])) {
	next:
		for _, m := range j.acked[chn][epoch] {
			if _, ok := seen[m.stamp]; ok {
				continue
			}
			for i, from := range c.from {
				open := i == last && !r.detached[chn] // the present stretch goes on to the end
				if from.Epoch != epoch || m.seq <= from.Seq || (!open && m.seq > c.end(i).Seq) {
					continue
				}
				j.Lost++
				j.problem("%s: channel %d lost %v, acknowledged at %s/%d", r.Name, chn, m.stamp, epoch, m.seq)
				continue next
			}
			if r.detached[chn] && epoch == c.at.Epoch && m.seq > c.at.Seq {
				continue // published after the reader left
			}
			j.Told++
		}
	}
}

func (c *cursor) end(i int) Position {
	if i < len(c.ends) {
		return c.ends[i]
	}
	return c.at
}
