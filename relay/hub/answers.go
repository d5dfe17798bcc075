package hub

import (
	"errors"
	"fmt"
	"strconv"

	"weir/internal/wire"
	"weir/relay/jsonbody"
	"weir/relay/problem"
)

// MaxMany is how many channels or users one item may be for.
const MaxMany = 1000

// ErrMany is a publication for several channels, where one for one is expected.
var ErrMany = errors.New("a publication for several channels")

// CheckMany says what is wrong with a list of channels or users that one item is for. member is its name.
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

// NewAnswers is an empty one. Its answers name whom they are for by member.
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
