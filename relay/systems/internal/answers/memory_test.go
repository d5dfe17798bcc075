package answers

import (
	"fmt"
	"testing"
	"time"
)

// A question is asked once also for those who look for its answer just before it comes and ask just after.
func TestAnswerComesBetweenTheLooks(t *testing.T) {
	var m Memory[string, int]
	now := time.Now()
	if _, ok := m.Get("a", now); ok {
		t.Fatal("there is an answer")
	}
	q, first := m.Join("a", now)
	if !first {
		t.Fatal("the question is not new")
	}
	m.End(q, "a", Answer[int]{7, now.Add(time.Second), now.Add(time.Second)}, nil, now)
	q, first = m.Join("a", now)
	if first {
		t.Fatal("asked again")
	}
	if <-q.Done; q.Value != 7 || q.Err != nil {
		t.Error(q.Value, q.Err)
	}
	if _, first = m.Join("a", now.Add(time.Second)); !first {
		t.Error("an answer that is over will do")
	}
	m = Memory[string, int]{held: m.held}
	if _, first = m.Renew("a"); !first {
		t.Error("a question that is to be asked again is not")
	}
}

func TestMemoryIsBounded(t *testing.T) {
	var m Memory[string, bool]
	now := time.Unix(0, 0)
	until := func(d time.Duration) Answer[bool] { return Answer[bool]{Value: true, Fresh: now.Add(d)} }
	put := func(key string, d time.Duration) {
		q, _ := m.Renew(key)
		m.End(q, key, until(d), nil, now)
	}
	for i := range 3 * maxRemembered {
		put(fmt.Sprint(i), time.Duration(i%2+1)*time.Minute)
		if i%maxRemembered == 0 {
			now = now.Add(61 * time.Second)
		}
	}
	if n := m.Len(); n > maxRemembered {
		t.Errorf("%d answers", n)
	}
	last := fmt.Sprint(3*maxRemembered - 1)
	if allow, known := m.Get(last, now); !allow || !known {
		t.Error("the last answer is gone")
	}
	if _, known := m.Get(last, now.Add(time.Hour)); known {
		t.Error("an answer holds for ever")
	}
	late := now.Add(time.Hour)
	q, fresh := m.Join(last, late)
	if again, _ := m.Join(last, late); !fresh || again != q {
		t.Error("a question is asked twice at once")
	}
	own := func(key string) bool { return key == last }
	m.Forget(func(key string, _ bool) bool { return own(key) }, own)
	if again, fresh := m.Join(last, late); !fresh || again == q {
		t.Error("a question from before the access was taken away answers one from after it")
	}
	m.End(q, last, until(time.Minute), nil, now)
	if _, known := m.Get(last, now); known || !q.Dropped {
		t.Error("an answer from before it was forgotten is kept")
	}
}
