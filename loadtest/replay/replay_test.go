package replay_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/loadtest/replay"
	"weir/loadtest/scenario"
)

// recorded is two channels, of which the second has no subscribers and somebody joins it, over four seconds.
func recorded() []replay.Sample {
	list := []replay.Sample{{Connections: 5, Channels: []replay.Channel{{ID: "a", Subscribers: 4}, {ID: "c", Subscribers: 2}}}}
	for i := 1; i <= 4; i++ {
		s := replay.Sample{At: time.Duration(i) * time.Second, Connections: 5, Channels: []replay.Channel{
			{ID: "a", Subscribers: 4, Sizes: map[int]uint64{32: 2, 5120: 1}}, {ID: "b", Subscribers: 1, Joins: 1, Sizes: map[int]uint64{128: 1}}, {ID: "c", Subscribers: 2},
		}}
		if i >= 3 {
			s.Slow = 1
		}
		list = append(list, s)
	}
	return list
}

func written(t *testing.T, samples []replay.Sample) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := replay.NewWriter(&b, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range samples {
		if err := w.Add(s); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestRecordingsBecomeLoadTests(t *testing.T) {
	r, err := replay.Read(bytes.NewReader(written(t, recorded())))
	if err != nil {
		t.Fatal(err)
	}
	s, err := r.Scenario(replay.Options{Times: 3})
	if err != nil {
		t.Fatal(err)
	}
	p, err := scenario.New(s)
	if err != nil {
		t.Fatal(err)
	}
	if p.Subscribers != 15 || p.Channels != 4 || p.Requests() != 4*4*3 || len(p.Trace.Visits) != 12 || p.End != int64(4*time.Second) {
		t.Errorf("%d subscribers, %d channels, %d messages, %d visits, %v", p.Subscribers, p.Channels, p.Requests(), len(p.Trace.Visits), p.End)
	}
	if len(p.Stages) != 2 || p.Stages[1].Slow != .2 || p.Stages[0].Duration != 2*time.Second {
		t.Errorf("%+v", p.Stages)
	}
	followers, sizes, last := map[int]int{}, map[int]int{}, int64(-1)
	for i := range p.Subscribers {
		for _, ch := range p.Follows(i) {
			followers[ch]++
		}
	}
	for k := range p.Requests() {
		due, ok := p.Due(k)
		if !ok || due < last || due >= p.End {
			t.Fatalf("message %d is due at %v after %v", k, due, last)
		}
		last = due
		sizes[p.SizeOf(k)]++
	}
	counts := []int{followers[1], followers[2], followers[3], sizes[64], sizes[128], sizes[5120]}
	if !slices.Equal(counts, []int{12, 6, 0, 24, 12, 12}) {
		t.Errorf("followers and sizes: %v", counts)
	}
	single, err := r.Scenario(replay.Options{Single: true})
	if err != nil || slices.ContainsFunc(single.Trace.Follows, func(l []int) bool { return len(l) > 1 }) {
		t.Errorf("%v: a connection follows several channels", err)
	}
}

func TestFilesThatAreNoRecordings(t *testing.T) {
	whole := written(t, recorded())
	if r, err := replay.Read(bytes.NewReader(whole[:len(whole)-30])); err != nil || len(r.Samples) < 2 {
		t.Error("a recording that was cut short is not read", err)
	}
	for name, b := range map[string][]byte{"empty": nil, "text": []byte("hello"), "backwards": written(t, []replay.Sample{{At: 2}, {At: 1}})} {
		if _, err := replay.Read(bytes.NewReader(b)); !errors.Is(err, replay.ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
	empty := recorded()
	empty[0].Channels = nil
	if _, err := (&replay.Recording{Samples: empty}).Scenario(replay.Options{}); !errors.Is(err, replay.ErrFormat) || !strings.Contains(err.Error(), "nobody followed") {
		t.Error(err)
	}
	if _, err := (&replay.Recording{}).Scenario(replay.Options{}); !errors.Is(err, replay.ErrFormat) {
		t.Error(err)
	}
}
