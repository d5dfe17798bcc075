package loadtest

import (
	"errors"
	"testing"
)

// A target that restarts has no memory meanwhile, and its CPU goes on from where the new process begins.
func TestGaugeOfATargetThatRestarts(t *testing.T) {
	g := &gauge{}
	for _, step := range []struct {
		cpu, rss           int64
		err                error
		wantCPU, wantBytes int64
	}{
		{100, 7, nil, 0, 7}, {150, 8, nil, 50, 8}, {0, 0, errors.New("refused"), 0, 0}, {20, 5, nil, 0, 5}, {30, 5, nil, 10, 5},
	} {
		g.read(func() (cpu, rss int64, err error) { return step.cpu, step.rss, step.err })
		if cpu, rss := g.take(); cpu != step.wantCPU || rss != step.wantBytes {
			t.Errorf("after %+v: %d, %d", step, cpu, rss)
		}
	}
}
