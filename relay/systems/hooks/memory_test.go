package hooks

import (
	"testing"
	"time"
)

// A question is asked once also for those who look for its answer just before it comes and ask just after.
func TestAnswerComesBetweenTheLooks(t *testing.T) {
	var m memory[string, int]
	now := time.Now()
	if _, ok := m.get("a", now); ok {
		t.Fatal("there is an answer")
	}
	q, first := m.join("a", now)
	if !first {
		t.Fatal("the question is not new")
	}
	m.end(q, "a", remembered[int]{7, now.Add(time.Second), now.Add(time.Second)}, nil, now)
	q, first = m.join("a", now)
	if first {
		t.Fatal("asked again")
	}
	if <-q.done; q.value != 7 || q.err != nil {
		t.Error(q.value, q.err)
	}
	if _, first = m.join("a", now.Add(time.Second)); !first {
		t.Error("an answer that is over will do")
	}
	m = memory[string, int]{held: m.held}
	if _, first = m.renew("a"); !first {
		t.Error("a question that is to be asked again is not")
	}
}
