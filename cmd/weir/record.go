package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"weir/internal/pause"
	"weir/loadtest/replay"
)

type recordCommand struct {
	For   time.Duration `default:"10m" placeholder:"TIME" help:"How long. Default: 10m. Ctrl-C ends it before, and keeps what there is."`
	Every time.Duration `default:"1s" placeholder:"TIME" help:"Time between two samples. Default: 1s."`
	Out   string        `default:"traffic.weir" placeholder:"FILE" help:"Where to keep the recording. Default: traffic.weir."`

	adminFlags `embed:""`
}

// Help is the detailed help of the command.
func (*recordCommand) Help() string {
	return "Keeps the shape of what a running relay does, for weir bench replay: how many are connected and how many of them are slow, and of each channel its " +
		"subscribers, who joins, and the sizes of what is published. Never data, users, or names: channels are hashed with a key that is thrown away."
}

// Run records until the time is over, or the user has seen enough.
func (c *recordCommand) Run(p *program) (err error) {
	if c.For <= 0 || c.Every < 100*time.Millisecond || c.Every > 5*time.Second {
		return wrongf("record: --for, --every: expected a time, and 100ms to 5s")
	}
	r, err := c.relay(p)
	if err != nil {
		return err
	}
	if err := writable(c.Out); err != nil {
		return wrongf("record: %w", err)
	}
	ctx, stop := untilSignal()
	defer stop()
	first, err := sampleTraffic(ctx, r, "", false)
	if err != nil {
		return err
	}
	f, err := os.Create(c.Out)
	if err != nil {
		return fmt.Errorf("record: %w", err)
	}
	started := time.Now()
	w, err := replay.NewWriter(f, started)
	if err == nil {
		err = w.Add(first.Sample)
	}
	samples := 1
	for err == nil && ctx.Err() == nil && time.Since(started) < c.For {
		_ = pause.For(ctx, min(c.Every, c.For-time.Since(started)))
		last := ctx.Err() != nil || time.Since(started) >= c.For
		var next trafficSample
		if next, err = sampleTraffic(context.WithoutCancel(ctx), r, first.Recording, last); err == nil {
			next.At = time.Since(started)
			err = w.Add(next.Sample)
			samples++
		}
	}
	if err = errors.Join(err, w.Close(), f.Close()); err != nil {
		return fmt.Errorf("record: %w", err)
	}
	_, err = fmt.Fprintf(p.stdout, "%d samples over %v in %s: weir bench replay %s\n", samples, time.Since(started).Round(time.Second), c.Out, c.Out)
	return err
}

// trafficSample is what the relay returns.
type trafficSample struct {
	Recording string `json:"recording"`
	replay.Sample
}

// sampleTraffic asks the relay for what has happened since the last time.
func sampleTraffic(ctx context.Context, r *adminListener, recording string, last bool) (s trafficSample, err error) {
	path := "/traffic?recording=" + url.QueryEscape(recording)
	if last {
		path += "&end"
	}
	if err := r.Do(ctx, "POST", path, nil, &s); err != nil {
		return s, wrongf("record: --admin: %w", err)
	}
	return s, nil
}
