package hub

import (
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"

	"weir/internal/wire"
	"weir/relay/jsonbody"
	"weir/relay/problem"
)

// MaxMany is how many channels or users one item may be for.
const MaxMany = 1000

// ErrMany is a publication for several channels, where one for one is expected.
var ErrMany = errors.New("a publication for several channels: expected one channel")

// CheckMany returns an error if a list of channels or users that one item is for is empty or too long. member is the name of the list.
func CheckMany(member string, list []string) error {
	if n := len(list); n < 1 || n > MaxMany {
		return problem.BadField.With(fmt.Sprintf("%s must name 1 to %d, not %d", member, MaxMany, n))
	}
	seen := make(map[string]bool, len(list))
	for _, name := range list {
		if seen[name] {
			return problem.BadField.With(member + " names " + jsonbody.Shorten(name) + " twice")
		}
		seen[name] = true
	}
	return nil
}

// Answers is the answer to a request for several: one object for each, in their order, whether it succeeded or not.
type Answers struct {
	member string // what names whom an answer is for
	out    []byte
	n      int
	failed int
}

// NewAnswers returns an empty one. Each of its answers names what it is for in the member of that name.
func NewAnswers(member string) *Answers { return &Answers{member: member, out: []byte(`{"answers":[`)} }

// Add appends one answer: the members of an object, as they stand between its braces, or what went wrong.
func (a *Answers) Add(name string, members []byte, err error) {
	if a.n++; a.n > 1 {
		a.out = append(a.out, ',')
	}
	a.out = append(append(append(a.out, `{"`...), a.member...), `":`...)
	a.out = append(wire.AppendString(a.out, name), ',')
	if err != nil {
		a.failed++
		a.out = problem.Of(err).AppendBody(a.out)
	} else {
		a.out = append(a.out, members...)
	}
	a.out = append(a.out, '}')
}

// JSON is the whole answer.
func (a *Answers) JSON() []byte {
	return append(strconv.AppendInt(append(a.out, `],"failed":`...), int64(a.failed), 10), '}')
}

// manyAtOnce bounds how many entries of one request are worked on at once.
const manyAtOnce = 32

// Many calls each for every entry of a list, for several at once, and returns what [Answers] makes of it. It waits for all of them.
func (h *Hub) Many(member string, list []string, each func(name string) (members []byte, err error)) []byte {
	type result struct {
		members []byte
		err     error
	}
	results := make([]result, len(list))
	for i := range results {
		results[i].err = problem.Internal // until it is done
	}
	var group sync.WaitGroup
	var next atomic.Int64
	for range min(manyAtOnce, len(list)) {
		h.Contain.Go(&group, "several users", func() { // ends with the list; waited for below
			for i := next.Add(1) - 1; i < int64(len(list)); i = next.Add(1) - 1 {
				h.Contain.Do("one of several users", func() { results[i].members, results[i].err = each(list[i]) })
			}
		}, nil)
	}
	group.Wait()
	a := NewAnswers(member)
	for i, r := range results {
		a.Add(list[i], r.members, r.err)
	}
	return a.JSON()
}
