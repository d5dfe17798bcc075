package batch

import (
	"fmt"
	"testing"
	"time"
)

// newItems is a sink that notes which messages are told to have made their item.
type newItems struct{ got []string }

func (s *newItems) Flush(b *Batch) {
	b.Each(func(e Entry) { s.got = append(s.got, fmt.Sprint(string(e.Bytes), " ", e.Created)) })
}
func (s *newItems) Missed(uint64) {}

// Of an item that came into being within the window, the set that is left says so: who gets it has seen none before.
func TestCreatedSurvivesConflation(t *testing.T) {
	made := func(seq uint64, key, data string, created bool) Message {
		m := set(seq, key, data)
		m.Created = created
		return m
	}
	deleted := Message{Bytes: []byte("-"), Seq: 3, Group: "g", Key: "k"}
	other := made(2, "k", "y", false)
	other.Exclude = "c1"
	for name, tt := range map[string]struct {
		messages []Message
		want     string
	}{
		"created, then set":     {[]Message{made(1, "k", "x", true), made(2, "k", "y", false), made(3, "k", "z", false)}, "[z true]"},
		"set, then set":         {[]Message{made(1, "k", "x", false), made(2, "k", "y", false)}, "[y false]"},
		"created anew":          {[]Message{made(1, "k", "x", false), deleted, made(4, "k", "y", true)}, "[- false y true]"},
		"another key":           {[]Message{made(1, "k", "x", true), made(2, "l", "y", false)}, "[x true y false]"},
		"kept for its receiver": {[]Message{made(1, "k", "x", true), other}, "[x true y false]"},
	} {
		s := new(newItems)
		b := New(Config{})
		w := b.Window(Options{Window: time.Hour, Conflate: true}, s)
		for _, m := range tt.messages {
			w.Append(m)
		}
		b.FlushAll(time.Now())
		if got := fmt.Sprint(s.got); got != tt.want {
			t.Errorf("%s: %s, not %s", name, got, tt.want)
		}
	}
	// What another batch has said is not said again.
	s := new(newItems)
	b := New(Config{})
	w := b.Window(Options{Window: time.Hour, Conflate: true}, s)
	w.Append(made(1, "k", "x", true))
	w.Seal()
	w.Append(made(2, "k", "y", false))
	b.FlushAll(time.Now())
	if got := fmt.Sprint(s.got); got != "[x true y false]" {
		t.Error(got)
	}
}
