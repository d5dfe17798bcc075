package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"weir/broker"
	"weir/broker/disk"
	"weir/internal/remote"
)

// clusterImportCommand is weir cluster import.
type clusterImportCommand struct {
	File string `arg:"" placeholder:"FILE" help:"An export, or - for stdin."`

	adminFlags `embed:""`
}

// Help is the detailed help of the command.
func (*clusterImportCommand) Help() string {
	return "Takes what weir data export has written, or weir cluster export. Their namespaces must be durable in the cluster, and nobody must use the channels yet. Readers resume where the export " +
		"was; those who had seen more are told. Channels that are in already are passed over: an import that was interrupted can be repeated."
}

// What is sent at once, and for how long a relay is asked again that answers 503.
const (
	importChunk    = 1 << 20
	importChannels = 200
	importPatience = 30 * time.Second
)

// Run imports.
func (c *clusterImportCommand) Run(p *program) error {
	r, err := c.relay(p)
	if err != nil {
		return err
	}
	from, err := p.input(c.File)
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }() // read only
	ctx, cancel := untilSignal()
	defer cancel()
	var total, there int
	steps := p.progress("import", 0)
	var chunk bytes.Buffer
	e := disk.NewExporter(&chunk, time.Now())
	send := func() error {
		if err := e.End(); err != nil {
			return err
		}
		var done struct{ Imported, There int }
		if err := insist(ctx, r, chunk.Bytes(), &done); err != nil {
			return err
		}
		total, there = total+done.Imported, there+done.There
		for range done.Imported + done.There {
			steps.step()
		}
		chunk.Reset()
		e = disk.NewExporter(&chunk, time.Now())
		return nil
	}
	_, err = disk.ReadExport(from, func(channel string, kept *broker.Kept) error {
		if err := e.Add(channel, kept); err != nil {
			return err
		}
		if chunk.Len() < importChunk && e.Channels < importChannels {
			return nil
		}
		return send()
	})
	if err == nil {
		err = send()
	}
	if err != nil {
		return unlessLeft(ctx, fmt.Errorf("cluster import: %w (%s before that were imported)", err, count(total+there, "channel")))
	}
	_, err = fmt.Fprintf(p.stdout, "%s imported, %d existed already\n", count(total, "channel"), there)
	return err
}

// insist has a chunk imported, and tries again as long as the relay says that it cannot just now.
func insist(ctx context.Context, r *adminListener, chunk []byte, done any) error {
	for begin := time.Now(); ; {
		err := r.Do(ctx, "POST", "/cluster/import", chunk, done)
		var refusal *remote.Refusal
		if !errors.As(err, &refusal) || refusal.Status != http.StatusServiceUnavailable || time.Since(begin) > importPatience {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(time.Second):
		}
	}
}

// clusterExportCommand is weir cluster export.
type clusterExportCommand struct {
	Prefix string `placeholder:"PREFIX" help:"Only channels whose names begin with it."`
	Out    string `short:"o" placeholder:"FILE" help:"File to write, which must not exist. Default: stdout."`

	adminFlags `embed:""`
}

// Help is the detailed help of the command.
func (*clusterExportCommand) Help() string {
	return "Writes the durable channels of all nodes as weir data export does, for weir data import or weir cluster import. What is published meanwhile may be in it or not: stop the publishers first."
}

// Run exports.
func (c *clusterExportCommand) Run(p *program) error {
	r, err := c.relay(p)
	if err != nil {
		return err
	}
	to, done, err := p.output(c.Out)
	if err != nil {
		return err
	}
	ctx, cancel := untilSignal()
	defer cancel()
	steps := p.progress("export", 0)
	e := disk.NewExporter(to, time.Now())
	last, more := "", true
	for more && err == nil {
		more, err = exportPage(ctx, r, c.Prefix, last, func(channel string, kept *broker.Kept) error {
			last = channel
			steps.step()
			return e.Add(channel, kept)
		})
	}
	if err == nil {
		err = e.End()
	}
	if err = errors.Join(err, done()); err != nil {
		return unlessLeft(ctx, fmt.Errorf("cluster export: %w", err))
	}
	_, _ = fmt.Fprintf(p.stderr, "%s exported\n", count(e.Channels, "channel"))
	return nil
}

// exportPage calls each with the next channels; false: there are no more.
func exportPage(ctx context.Context, r *adminListener, prefix, after string, each func(channel string, kept *broker.Kept) error) (more bool, err error) {
	req, err := r.Request(ctx, "GET", "/cluster/export?"+url.Values{"prefix": {prefix}, "after": {after}}.Encode(), r.token, nil)
	if err != nil {
		return false, err
	}
	resp, err := r.HTTP().Do(req)
	if err != nil {
		return false, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
		return false, r.hint(remote.RefusalOf(resp.StatusCode, b))
	}
	n, err := disk.ReadExport(resp.Body, each)
	return n > 0, err
}
