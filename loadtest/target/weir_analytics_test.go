package target

import (
	"fmt"
	"strings"
	"testing"

	"weir/loadtest/check"
)

// told notes the numbers of what was delivered.
type told struct {
	numbers []uint64
	others  int // without a stamp
	t       *testing.T
}

func (d *told) Delivered(_ int, _ uint64, _, data []byte, deleted bool) {
	if deleted {
		d.others++
		return
	}
	s, err := check.Parse(data)
	if err != nil {
		d.t.Fatal(err)
	}
	d.numbers = append(d.numbers, s.Number)
}
func (d *told) Reset(int) {}

// What dashboards are told is as many of the events that were sent, in order; one too many is one twice.
func TestAnalyticsCounts(t *testing.T) {
	w, _, _, err := New(Options{System: analytics})
	if err != nil {
		t.Fatal(err)
	}
	var msgs []Message
	for n := range uint64(3) {
		msgs = append(msgs, Message{Channel: "bench:0", Data: check.Stamp{Source: 7, Number: n + 1}.Append(nil, 64)})
	}
	request := string(w.Publish(nil, append(msgs, Message{Channel: "bench:0", Data: []byte(`{}`)})))
	if strings.Count(request, `{"topic":"user.action","data":{"value":1,"name":"bench:0|7"}}`+"\n") != 3 || !strings.HasSuffix(request, `{"topic":"user.action","data":{"value":1}}`+"\n") {
		t.Error(request)
	}
	s := &Subscriber{Channels: []Followed{{Name: "bench:0"}}}
	seen := &told{t: t}
	if _, err := w.Greet(s, nil, seen); err != nil || s.Subscribed {
		t.Error(err)
	}
	if _, err := w.Greet(s, []byte(`{"type":"snapshot","data":{"counters":{}}}`), seen); err != nil || !s.Subscribed {
		t.Error(err)
	}
	for _, step := range []struct {
		msg  string
		want string
	}{
		{`{"type":"metric_update","data":{"type":"user","action":"action","name":"bench:0|7","value":2,"count":2,"timestamp":1}}`, "[1 2]"},
		{`{"type":"metric_update","data":{"type":"weir","action":"cpu","value":0.5,"count":1,"timestamp":1}}`, "[1 2]"},
		{`{"type":"metric_update","data":{"type":"user","action":"action","name":"other|7","value":2,"count":2,"timestamp":1}}`, "[1 2]"},
		{`{"type":"top","data":{"channels":[]}}`, "[1 2]"},
		{`{"type":"metric_update","data":{"type":"user","action":"action","name":"bench:0|7","value":2,"count":2,"timestamp":1}}`, "[1 2 3 3]"},
	} {
		if _, err := w.Read(s, []byte(step.msg), seen); err != nil || fmt.Sprint(seen.numbers) != step.want {
			t.Error(step.msg, seen.numbers, err)
		}
	}
	if _, err := w.Read(s, []byte(`{"type":`), seen); err == nil {
		t.Error("half a message")
	}
	for _, tt := range []struct {
		status, n, refused int
		body               string
	}{{200, 2, 0, "{}\n{}\n"}, {200, 2, 1, "{\"code\":\"bad_request\",\"message\":\"\",\"line\":1}\n{}\n"}, {503, 2, 2, "{}\n{}\n"}} {
		if got := w.Refused(tt.status, []byte(tt.body), tt.n); got != tt.refused {
			t.Error(tt, got)
		}
	}
}
