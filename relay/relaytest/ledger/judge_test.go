package ledger

import (
	"fmt"
	"strings"
	"testing"

	"weir/loadtest/check"
)

// story builds a ledger and one reader: a test tells what happened.
type story struct {
	l      *Ledger
	r      *Reader
	stamps []check.Stamp
}

func newStory() *story { return &story{l: New(), r: &Reader{Name: "reader"}} }

// publish acknowledges n messages from seq on.
func (s *story) publish(epoch string, seq uint64, n int) *story {
	for i := range uint64(n) {
		st := s.l.Next(7, 1, 0)
		s.l.Acked(st, Position{epoch, seq + i})
		s.stamps = append(s.stamps, st)
	}
	return s
}

// deliver hands the reader stamps by their index, each at its position.
func (s *story) deliver(seq uint64, indexes ...int) *story {
	for k, i := range indexes {
		s.r.Delivered(7, seq+uint64(k), s.stamps[i].Append(nil, 64))
	}
	return s
}

func (s *story) told(epoch string, seq uint64, recovered bool) *story {
	s.r.Told(7, Position{epoch, seq}, recovered)
	return s
}

func TestJudge(t *testing.T) {
	tests := []struct {
		name  string
		story *story
		want  Verdict
	}{
		{"perfect", newStory().told("a", 0, false).publish("a", 1, 3).deliver(1, 0, 1, 2), Verdict{Acknowledged: 3, Received: 3}},
		{"lost in the middle", newStory().told("a", 0, false).publish("a", 1, 3).deliver(1, 0).deliver(3, 2), Verdict{Acknowledged: 3, Received: 2, Lost: 1}},
		{"lost at the end", newStory().told("a", 0, false).publish("a", 1, 3).deliver(1, 0, 1), Verdict{Acknowledged: 3, Received: 2, Lost: 1}},
		{"never said anything", newStory().told("a", 0, false).publish("a", 1, 2), Verdict{Acknowledged: 2, Lost: 2}},
		{"joined late", newStory().publish("a", 1, 2).told("a", 2, false).publish("a", 3, 1).deliver(3, 2), Verdict{Acknowledged: 3, Received: 1, Told: 2}},
		{"resumed", newStory().told("a", 0, false).publish("a", 1, 4).deliver(1, 0, 1).told("a", 4, true).deliver(3, 2, 3), Verdict{Acknowledged: 4, Received: 4}},
		{"resumed with a gap", newStory().told("a", 0, false).publish("a", 1, 4).deliver(1, 0, 1).told("a", 4, true).deliver(4, 3), Verdict{Acknowledged: 4, Received: 3, Lost: 1}},
		{"resumed and repeated", newStory().told("a", 0, false).publish("a", 1, 3).deliver(1, 0, 1).told("a", 3, true).deliver(2, 1, 2), Verdict{Acknowledged: 3, Received: 4, Duplicated: 1}},
		{"told of a gap", newStory().told("a", 0, false).publish("a", 1, 5).deliver(1, 0).told("a", 4, false).deliver(5, 4), Verdict{Acknowledged: 5, Received: 2, Told: 3}},
		{"lost before it was told of a later gap", newStory().told("a", 0, false).publish("a", 1, 5).deliver(1, 0).deliver(3, 2).told("a", 4, false).deliver(5, 4), Verdict{Acknowledged: 5, Received: 3, Lost: 1, Told: 1}},
		{"the log was lost", newStory().told("a", 0, false).publish("a", 1, 3).deliver(1, 0, 1).told("b", 0, false).publish("b", 1, 1).deliver(1, 3), Verdict{Acknowledged: 4, Received: 3, Told: 1}},
		{"recovered into another log", newStory().told("a", 0, false).publish("a", 1, 1).deliver(1, 0).told("b", 0, true), Verdict{Acknowledged: 1, Received: 1, Reordered: 1}},
		{"recovered into another epoch of the log", newStory().told("a", 0, false).publish("a", 1, 3).deliver(1, 0).told("b", 4, true).publish("b", 4, 2).deliver(2, 1, 2, 3, 4), Verdict{Acknowledged: 5, Received: 5}},
		{"lost where the epochs meet", newStory().told("a", 0, false).publish("a", 1, 3).deliver(1, 0).told("b", 4, true).publish("b", 4, 2).deliver(2, 1).deliver(4, 3, 4), Verdict{Acknowledged: 5, Received: 4, Lost: 1}},
		{"position went back", newStory().told("a", 0, false).publish("a", 1, 3).deliver(1, 0).deliver(3, 2).deliver(2, 1), Verdict{Acknowledged: 3, Received: 3, Reordered: 1}},
		{"numbers went back at growing positions", newStory().told("a", 0, false).publish("a", 1, 2).deliver(1, 1, 0), Verdict{Acknowledged: 2, Received: 2, Reordered: 1, Disagreed: 2}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := tt.story.l.Judge(tt.story.r)
			problems := v.Problems
			v.Problems = nil
			if fmt.Sprint(v) != fmt.Sprint(tt.want) {
				t.Errorf("%v\nwant %v\n%s", v, tt.want, strings.Join(problems, "\n"))
			}
			if v.OK() != (len(problems) == 0) {
				t.Errorf("OK is %v with problems %q", v.OK(), problems)
			}
		})
	}
}

// What is lost with the log before its publisher is answered is sent again, and comes again.
func TestJudgeLetsComeAgainWhatWasLost(t *testing.T) {
	for _, test := range []struct {
		promised Position
		reset    string
		want     int
	}{{Position{"b", 1}, "b", 0}, {Position{"a", 1}, "b", 1}, {Position{"a", 2}, "a", 1}} {
		s := newStory().told("a", 0, false)
		one := s.l.Next(7, 1, 0)
		s.r.Delivered(7, 1, one.Append(nil, 64))
		s.told(test.reset, 1, false)
		s.r.Delivered(7, 2, one.Append(nil, 64))
		s.l.Acked(one, test.promised)
		if v := s.l.Judge(s.r); v.Duplicated != test.want {
			t.Error(test, v, v.Problems)
		}
	}
}

// Where logs fork, what was acknowledged in an epoch that is gone may come late in the one that goes on, and so may what was given up; what stands where its publisher was told may not.
func TestJudgeLetsComeLateWhatWasForkedAway(t *testing.T) {
	for _, test := range []struct {
		forks    bool
		promised Position
		want     int
	}{{true, Position{"gone", 5}, 0}, {true, Position{"b", 2}, 1}, {true, Position{"a", 2}, 1}, {false, Position{"gone", 5}, 1}, {true, Position{}, 0}, {false, Position{}, 1}} {
		s := newStory().told("b", 0, false)
		s.l.Forks = test.forks
		late, after := s.l.Next(7, 1, 0), s.l.Next(7, 1, 0)
		if test.promised != (Position{}) {
			s.l.Acked(late, test.promised)
		}
		s.l.Acked(after, Position{"b", 1})
		s.r.Delivered(7, 1, after.Append(nil, 64))
		s.r.Delivered(7, 2, late.Append(nil, 64))
		if v := s.l.Judge(s.r); v.Reordered != test.want {
			t.Error(test, v, v.Problems)
		}
	}
}

func TestJudgeKnowsRefusedUnansweredAndDamaged(t *testing.T) {
	s := newStory().told("a", 0, false).publish("a", 1, 1).deliver(1, 0)
	s.l.Refused(s.l.Next(7, 1, 0))
	s.l.Next(7, 1, 0) // unanswered: may be missing
	maybe := s.l.Next(7, 1, 0)
	s.r.Delivered(7, 2, maybe.Append(nil, 64)) // unanswered: may be there
	s.r.Delivered(7, 3, []byte(`{"c":7}`))
	v := s.l.Judge(s.r)
	if v.Corrupted != 1 || v.Lost+v.Duplicated+v.Reordered+v.Disagreed != 0 || v.Received != 2 {
		t.Error(v, v.Problems)
	}
}

func TestJudgeHoldsReadersAgainstEachOther(t *testing.T) {
	s := newStory().told("a", 0, false)
	a, b := s.l.Next(7, 1, 0), s.l.Next(7, 2, 0) // unanswered: only the readers know where they stand
	s.r.Delivered(7, 1, a.Append(nil, 64))
	s.r.Delivered(7, 2, b.Append(nil, 64))
	other := &Reader{Name: "other"}
	other.Told(7, Position{"a", 0}, false)
	other.Delivered(7, 1, b.Append(nil, 64))
	other.Delivered(7, 2, a.Append(nil, 64))
	if v := s.l.Judge(s.r, other); v.Disagreed != 2 || v.Lost+v.Duplicated+v.Reordered != 0 {
		t.Error(v, v.Problems)
	}
}

func TestJudgeExpectsNothingAfterAReaderLeft(t *testing.T) {
	s := newStory().told("a", 0, false).publish("a", 1, 3).deliver(1, 0)
	s.r.gaveUp(7)
	s.publish("a", 4, 2)
	if v := s.l.Judge(s.r); v.Lost != 0 || v.Told != 0 {
		t.Error(v, v.Problems)
	}
}

func ExampleLedger() {
	ledger := New()
	reader := &Reader{Name: "phone"}
	reader.Told(1, Position{"x", 0}, false)
	for seq := uint64(1); seq <= 3; seq++ {
		stamp := ledger.Next(1, 1, 0)
		ledger.Acked(stamp, Position{"x", seq})
		if seq != 2 {
			reader.Delivered(1, seq, stamp.Append(nil, 64))
		}
	}
	v := ledger.Judge(reader)
	fmt.Println(v.OK(), v.Lost)
	// Output: false 1
}
