package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"weir/internal/pause"
	"weir/loadtest/replay"
)

type recordCommand struct {
	For   time.Duration `default:"10m" placeholder:"TIME" help:"How long. Default: 10m. Ctrl-C ends it before, and keeps what there is."`
	Admin string        `default:"http://127.0.0.1:9090" placeholder:"URL" help:"Admin listener of the relay. Default: http://127.0.0.1:9090."`
	Token string        `name:"admin-token" placeholder:"TOKEN" help:"Its admin_token, if it has one (or $$WEIR_ADMIN_TOKEN)."`
	Every time.Duration `default:"1s" placeholder:"TIME" help:"Time between two samples. Default: 1s."`
	Out   string        `default:"traffic.weir" placeholder:"FILE" help:"Where to keep the recording. Default: traffic.weir."`
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
	at, err := url.Parse(c.Admin)
	if err != nil || at.Host == "" || at.Scheme != "http" && at.Scheme != "https" {
		return wrongf("record: --admin %q: expected http://host:port", c.Admin)
	}
	if c.Token == "" {
		c.Token = p.getenv("WEIR_ADMIN_TOKEN")
	}
	if strings.ContainsAny(c.Token, "\r\n") {
		return wrongf("record: --admin-token: expected one line")
	}
	if err := writable(c.Out); err != nil {
		return wrongf("record: %w", err)
	}
	ctx, stop := untilSignal()
	defer stop()
	first, err := c.sample(ctx, at, "", false)
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
		if next, err = c.sample(context.WithoutCancel(ctx), at, first.Recording, last); err == nil {
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

// sample asks the relay for what has happened since the last time.
func (c *recordCommand) sample(ctx context.Context, at *url.URL, recording string, last bool) (s trafficSample, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	address := strings.TrimSuffix(at.String(), "/") + "/traffic?recording=" + url.QueryEscape(recording)
	if last {
		address += "&end"
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, nil)
	if err != nil {
		return s, wrongf("record: %w", err)
	}
	if c.Token != "" {
		r.Header.Set("Authorization", "Bearer "+c.Token)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return s, wrongf("record: --admin: %w", err)
	}
	defer func() { _ = resp.Body.Close() }() // it was read
	if resp.StatusCode != http.StatusOK {
		said, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
		return s, wrongf("record: %s answered %d: %s", c.Admin, resp.StatusCode, strings.TrimSpace(string(said)))
	}
	if err := json.NewDecoder(resp.Body).Decode(&s); err != nil {
		return s, wrongf("record: %s: what it answers is no sample of traffic: %w", c.Admin, err)
	}
	return s, nil
}
