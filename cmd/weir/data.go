package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"weir/broker"
	"weir/broker/disk"
	"weir/loadtest/report"
)

// dataCommands work on a data directory that no server uses.
type dataCommands struct {
	Verify  dataVerify  `cmd:"" help:"Read everything and say what is damaged."`
	Stats   dataStats   `cmd:"" help:"Say what is stored."`
	Repair  dataRepair  `cmd:"" help:"Go on without what is damaged or missing in the log."`
	Compact dataCompact `cmd:"" help:"Write the database anew, without what it does not use."`
	Export  dataExport  `cmd:"" help:"Write channels as lines of JSON, to save them or to look at them."`
	Import  dataImport  `cmd:"" help:"Put exported channels into a data directory."`
}

// Help is the detailed help of the commands.
func (*dataCommands) Help() string {
	return "A server has its directory to itself: stop it first, or work on a copy. verify, stats and export change nothing, and see " +
		"what a crash has left in the log too. To save a directory, export it; to restore it, import that into a new one: readers who had " +
		"seen more are told. After a plain copy of a directory has been put back, run compact before the server starts."
}

// dataFlags name the directory.
type dataFlags struct {
	Data string `placeholder:"DIR" help:"The data directory (or $$WEIR_DATA)."`
}

func (f *dataFlags) dir(p *program) (string, error) {
	dir := cmp.Or(f.Data, p.getenv("WEIR_DATA"))
	if dir == "" {
		return "", wrongf("data: name the directory with --data")
	}
	return dir, nil
}

// view opens the directory, and has look look at it.
func (f *dataFlags) view(p *program, look func(v *disk.View) error) error {
	dir, err := f.dir(p)
	if err != nil {
		return err
	}
	v, err := disk.OpenView(dir)
	if err != nil {
		return explain(err)
	}
	defer func() { _ = v.Close() }() // nothing was written
	return look(v)
}

// explain adds to an error what to do about it, where that is known.
func explain(err error) error {
	switch {
	case errors.Is(err, disk.ErrInUse):
		return fmt.Errorf("%w; stop that server first, or work on a copy", err)
	case errors.Is(err, disk.ErrLost):
		return fmt.Errorf("%w; restore a backup, or go on without them: weir data repair", err)
	case errors.Is(err, disk.ErrFormat):
		return fmt.Errorf("%w; use the version of weir that wrote it", err)
	}
	return err
}

// progress prints how far long work is, at most once a second.
type progress struct {
	w     io.Writer
	verb  string
	total int
	done  int
	next  time.Time
}

func (p *program) progress(verb string, total int) *progress {
	return &progress{w: p.stderr, verb: verb, total: total, next: time.Now().Add(time.Second)}
}

func (p *progress) step() {
	p.done++
	if now := time.Now(); now.After(p.next) {
		p.next = now.Add(time.Second)
		if p.total > 0 {
			_, _ = fmt.Fprintf(p.w, "%s: %d of %d channels\n", p.verb, p.done, max(p.done, p.total))
		} else {
			_, _ = fmt.Fprintf(p.w, "%s: %d channels\n", p.verb, p.done)
		}
	}
}

type dataVerify struct {
	dataFlags `embed:""`
}

// Help is the detailed help of the command.
func (*dataVerify) Help() string {
	return "Every page, record and checksum is read, in the database and in the log. Each damaged thing is a line; with any, the exit status is 1. " +
		"A server refuses a damaged channel and serves the others; what export can still read can be imported elsewhere."
}

// Run verifies.
func (c *dataVerify) Run(p *program) error { return c.view(p, p.verify) }

func (p *program) verify(v *disk.View) error {
	steps := p.progress("verify", v.Count())
	wrong := v.Verify(func(what string) { _, _ = fmt.Fprintln(p.stdout, what) }, steps.step)
	if wrong > 0 {
		return fmt.Errorf("verify: %s", count(wrong, "damaged thing"))
	}
	_, _ = fmt.Fprintf(p.stdout, "%s, all whole\n", count(steps.done, "channel"))
	switch s := v.Summary(); {
	case s.Vague:
		_, _ = fmt.Fprintf(p.stdout, "%s at the end of the log are incomplete: left by a crash and never acknowledged, or damaged; version 1 of the format cannot distinguish them\n", bytesOf(int64(s.Torn)))
	case s.Torn > 0:
		_, _ = fmt.Fprintf(p.stdout, "%s at the end of the log are incomplete: left by a crash and never acknowledged\n", bytesOf(int64(s.Torn)))
	}
	return nil
}

// count is a number with its noun.
func count(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

type dataStats struct {
	dataFlags `embed:""`
	JSON      bool `help:"As one JSON object."`
}

// namespaceStats is what is stored of a namespace.
type namespaceStats struct {
	Namespace string `json:"namespace"`
	Channels  int    `json:"channels"`
	Items     int    `json:"items"`
	Changes   int    `json:"changes"`
	Bytes     int64  `json:"bytes"` // of items and changes
	Damaged   int    `json:"damaged,omitempty"`
}

// Run shows figures.
func (c *dataStats) Run(p *program) error {
	return c.view(p, func(v *disk.View) error { return c.stats(p, v) })
}

func (c *dataStats) stats(p *program, v *disk.View) error {
	steps := p.progress("stats", v.Count())
	spaces := make(map[string]*namespaceStats)
	err := v.Each("", func(name string, kept broker.Kept, err error) error {
		space := name[:max(strings.IndexByte(name, ':'), 0)]
		s := spaces[space]
		if s == nil {
			s = &namespaceStats{Namespace: space}
			spaces[space] = s
		}
		s.add(&kept, err)
		steps.step()
		return nil
	})
	if err != nil {
		return err
	}
	list := slices.SortedFunc(maps.Values(spaces), func(a, b *namespaceStats) int { return strings.Compare(a.Namespace, b.Namespace) })
	return c.show(p, v.Summary(), list)
}

func (s *namespaceStats) add(kept *broker.Kept, err error) {
	s.Channels++
	if err != nil {
		s.Damaged++
		return
	}
	s.Items += len(kept.Items)
	s.Changes += len(kept.Changes)
	for _, i := range kept.Items {
		s.Bytes += int64(len(i.Data))
	}
	for _, c := range kept.Changes {
		s.Bytes += int64(len(c.Data))
	}
}

func (c *dataStats) show(p *program, s disk.Summary, list []*namespaceStats) error {
	if c.JSON {
		return json.NewEncoder(p.stdout).Encode(map[string]any{
			"format": s.Format, "generation": s.Generation, "clean": s.Clean, "batches": s.Batches,
			"databaseBytes": s.Database, "freeBytes": s.Free, "logBytes": s.Log, "tornBytes": s.Torn, "damaged": s.Damage != nil, "namespaces": list,
		})
	}
	if s.Damage != nil {
		_, _ = fmt.Fprintf(p.stdout, "%v\n", s.Damage)
	}
	closed := "in order"
	if !s.Clean {
		closed = "by a crash"
	}
	_, err := fmt.Fprintf(p.stdout, "format %s, generation %d, closed %s, %d batches\ndatabase %s, of which %s are free; only in the log: %s\n\n%-16s %10s %10s %10s %12s\n",
		s.Format, s.Generation, closed, s.Batches, bytesOf(s.Database), bytesOf(s.Free), bytesOf(s.Log), "namespace", "channels", "items", "changes", "data")
	for _, n := range list {
		name, damaged := cmp.Or(n.Namespace, "(none)"), ""
		if n.Damaged > 0 {
			damaged = fmt.Sprintf("  %d damaged", n.Damaged)
		}
		_, _ = fmt.Fprintf(p.stdout, "%-16s %10d %10d %10d %12s%s\n", name, n.Channels, n.Items, n.Changes, bytesOf(n.Bytes), damaged)
	}
	return err
}

// bytesOf writes a size for people.
func bytesOf(n int64) string { return report.Bytes(float64(n)) }

type dataRepair struct {
	dataFlags `embed:""`
}

// Help is the detailed help of the command.
func (*dataRepair) Help() string {
	return "A server does not start on a log in which acknowledged changes are damaged or missing. This keeps what stands before the damage and says what is lost. " +
		"Readers of durable channels who come back get the state as it is and are told that changes may be lost. The files of the log stay beside it as *.damaged. " +
		"Without damage nothing changes. A restored backup that has everything is better."
}

// Run repairs.
func (c *dataRepair) Run(p *program) error {
	dir, err := c.dir(p)
	if err != nil {
		return err
	}
	lost, err := disk.Repair(dir)
	if err != nil {
		return explain(err)
	}
	if lost == nil {
		_, err = fmt.Fprintln(p.stdout, "nothing to repair in the log")
		return err
	}
	_, err = fmt.Fprintf(p.stdout, "given up: %v\n", lost)
	return err
}

type dataCompact struct {
	dataFlags `embed:""`
}

// Help is the detailed help of the command.
func (*dataCompact) Help() string {
	return "Needs room for a second database meanwhile. What is stored stays as it is, but that readers' positions get a new epoch, which they do not notice: " +
		"a directory that was copied back can be served after it, and readers who had seen more than the copy has are told."
}

// Run compacts.
func (c *dataCompact) Run(p *program) error {
	dir, err := c.dir(p)
	if err != nil {
		return err
	}
	before, after, err := disk.Compact(dir, func(written int64) { _, _ = fmt.Fprintf(p.stderr, "compact: %s written\n", bytesOf(written)) })
	if err != nil {
		return explain(err)
	}
	_, err = fmt.Fprintf(p.stdout, "%s before, %s now\n", bytesOf(before), bytesOf(after))
	return err
}

type dataExport struct {
	dataFlags `embed:""`
	Prefix    string `placeholder:"PREFIX" help:"Only channels whose names begin with it, e.g. chat:."`
	Out       string `short:"o" placeholder:"FILE" help:"File to write, which must not exist. Default: stdout."`
}

// Help is the detailed help of the command.
func (*dataExport) Help() string {
	return `One JSON object a line: {"type":"weir"} with the version, then for each channel {"type":"channel"} with its position, followed by its ` +
		`{"type":"change"}, {"type":"item"} and {"type":"key"} (idempotency) lines, and {"type":"end"} with the count last: an export without it is not whole. ` +
		"Damaged channels are reported and left out; the exit status is 1 then."
}

// Run exports.
func (c *dataExport) Run(p *program) error {
	return c.view(p, func(v *disk.View) error { return c.export(p, v) })
}

func (c *dataExport) export(p *program, v *disk.View) error {
	to, done, err := p.output(c.Out)
	if err != nil {
		return err
	}
	damaged := 0
	steps := p.progress("export", v.Count())
	channels, err := v.Export(to, c.Prefix, time.Now(), steps.step, func(what string) {
		damaged++
		_, _ = fmt.Fprintln(p.stderr, "left out: "+what)
	})
	if err = errors.Join(err, done()); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(p.stderr, "%s exported\n", count(channels, "channel"))
	if damaged > 0 {
		return fmt.Errorf("%s left out", count(damaged, "damaged channel"))
	}
	return nil
}

type dataImport struct {
	dataFlags `embed:""`
	File      string `arg:"" placeholder:"FILE" help:"An export, or - for stdin."`
}

// Help is the detailed help of the command.
func (*dataImport) Help() string {
	return "The directory is made if it is missing. Channels that are in it already are an error. Readers resume where the export was; those who had seen more are told."
}

// Run imports.
func (c *dataImport) Run(p *program) error {
	dir, err := c.dir(p)
	if err != nil {
		return err
	}
	from, err := p.input(c.File)
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }() // read only
	steps := p.progress("import", 0)
	channels, err := disk.Import(dir, bufio.NewReader(from), steps.step)
	if err != nil {
		if channels > 0 {
			return fmt.Errorf("%w (%s before that were imported)", explain(err), count(channels, "channel"))
		}
		return explain(err)
	}
	_, err = fmt.Fprintf(p.stdout, "%s imported\n", count(channels, "channel"))
	return err
}
