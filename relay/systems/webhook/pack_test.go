package webhook

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"weir/relay/hub"
)

var sent = regexp.MustCompile(`"data":([0-9]+)`)

// numbers are the events of a request, as the receiver of these tests was handed it.
func numbers(request string) string {
	var list []string
	for _, m := range sent.FindAllStringSubmatch(`"data":`+request, -1) {
		list = append(list, m[1])
	}
	return strings.Join(list, " ")
}

// What waits leaves together, as much as the endpoint takes: in the order of each key, and in one signed array.
func TestSeveralEventsInOneRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Webhook{Batch: 10}, nil, func(int, string) (int, http.Header, error) {
			time.Sleep(time.Second)
			return 200, nil, nil
		})
		defer b.close()
		for i := range 25 {
			b.tell("room:a", i)
		}
		time.Sleep(time.Minute)
		want := []string{"0", "1 2 3 4 5 6 7 8 9 10", "11 12 13 14 15 16 17 18 19 20", "21 22 23 24"}
		if len(b.all()) != len(want) {
			t.Fatal(b.all())
		}
		for i, request := range b.all() {
			if got := numbers(request); got != want[i] || !strings.HasSuffix(request, "]") {
				t.Errorf("request %d has %s, not %s: %s", i, got, want[i], request)
			}
		}
		b.wantStatus(status{State: stateUp})
	})
}

// Events of many keys fill a request, too.
func TestEventsOfOtherKeysComeAlong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		down.Store(true)
		b := newBench(t, Webhook{Batch: 50}, nil, func(int, string) (int, http.Header, error) {
			if down.Load() {
				return 0, nil, errors.New("connection refused")
			}
			return 200, nil, nil
		})
		defer b.close()
		for i := range 500 {
			b.tell(fmt.Sprint("room:", i%100), i)
		}
		time.Sleep(time.Minute)
		asked := len(b.all())
		down.Store(false)
		time.Sleep(2 * time.Minute)
		b.wantStatus(status{State: stateUp})
		seen, last := 0, make(map[int]int)
		for _, request := range b.all()[asked:] {
			for number := range strings.FieldsSeq(numbers(request)) {
				var n int
				_, _ = fmt.Sscan(number, &n)
				if before, again := last[n%100]; again && n <= before {
					t.Errorf("%d after %d", n, before)
				}
				last[n%100] = n
				seen++
			}
		}
		if n := len(b.all()) - asked; seen != 500 || n > 60 {
			t.Errorf("%d events in %d requests", seen, n)
		}
	})
}

// One event that a receiver does not want costs itself only: what was refused together is sent alone.
func TestOneRefusedOfSeveral(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Webhook{Batch: 10}, nil, func(_ int, request string) (int, http.Header, error) {
			time.Sleep(time.Second)
			if strings.Contains(" "+numbers(request)+" ", " 5 ") {
				return 422, nil, nil
			}
			return 200, nil, nil
		})
		defer b.close()
		for i := range 20 {
			b.tell("room:a", i)
		}
		time.Sleep(time.Minute)
		var took []string
		for _, request := range b.all() {
			if n := numbers(request); !strings.Contains(" "+n+" ", " 5 ") {
				took = append(took, n)
			}
		}
		if got, want := strings.Join(took, ", "), "0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11 12 13 14 15 16 17 18 19"; got != want {
			t.Errorf("taken: %s\nwanted: %s", got, want)
		}
		b.wantStatus(status{State: stateUp, Dead: 1})
	})
}

// Large events do not make a request without a bound.
func TestSeveralEventsHaveABound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Webhook{Batch: 10}, nil, func(int, string) (int, http.Header, error) {
			time.Sleep(time.Second)
			return 200, nil, nil
		})
		defer b.close()
		large := `"` + strings.Repeat("x", maxBody) + `"`
		for _, data := range []string{"0", "1", large, "3", "4"} {
			b.accept(newEvent(&hub.Event{Topic: "order.paid", Key: "a", Data: []byte(data)}, time.Now()))
		}
		time.Sleep(time.Minute)
		var got []string
		for _, request := range b.all() {
			events := numbers(request)
			if len(request) > maxBody {
				events = strings.TrimSpace("large " + events)
			}
			got = append(got, events)
		}
		if s := strings.Join(got, ", "); s != "0, 1, large, 3 4" {
			t.Error(s)
		}
	})
}

func TestPackedEventsHaveAnIDOfTheirOwn(t *testing.T) {
	one, two := &event{id: "msg_1", body: []byte(`{"a":1}`)}, &event{id: "msg_2", body: []byte(`{"a":2}`)}
	id, body := pack([]*event{one, two})
	again, _ := pack([]*event{one, two})
	other, alone := pack([]*event{one})
	if string(body) != `[{"a":1},{"a":2}]` || string(alone) != `[{"a":1}]` || id != again || id == other || !strings.HasPrefix(id, "msg_") {
		t.Error(id, again, other, string(body))
	}
}
