package cluster

import (
	"testing"
	"time"
)

// A process that was stopped while it found out that it is not cut off does not go on by that.
func TestStoppedWhileJudging(t *testing.T) {
	c := &Cluster{started: time.Now()}
	before := c.started.Add(time.Minute)
	c.doubt(before.Add(5 * time.Second))
	if c.isolate(before, false); !c.isolated.Load() {
		t.Error("what was known before it was stopped counts")
	}
	if !c.isolate(before.Add(6*time.Second), false) || c.isolated.Load() || !c.cutSince.IsZero() {
		t.Error("it stays cut off")
	}
}
