package disk

import (
	"strings"
	"testing"

	"weir/broker"
)

// An append to a long text writes what it appends, and what is read again is all of it.
func TestAppendWritesAnIncrement(t *testing.T) {
	config := Config{Dir: t.TempDir()}
	j, b := open(t, config)
	text := strings.Repeat("x", 1<<20)
	publish(t, b, "c", broker.Publication{Key: "k", Data: []byte(`"` + text + `"`)})
	before := j.Stats().Bytes
	if before < 1<<20 {
		t.Fatalf("the text itself was %d bytes", before)
	}
	const appends = 200
	for range appends {
		publish(t, b, "c", broker.Publication{Op: broker.Append, Key: "k", Data: []byte(`"abcde"`)})
		text += "abcde"
	}
	if n := (j.Stats().Bytes - before) / appends; n < 5 || n > 200 {
		t.Errorf("an append of 5 bytes writes %d", n)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	_, b = open(t, config)
	if err := b.Load("c"); err != nil {
		t.Fatal(err)
	}
	if data, _, ok := b.Item("c", "", "k"); !ok || string(data) != `"`+text+`"` {
		t.Errorf("read again: %d bytes, not %d", len(data), len(text)+2)
	}
}
