package disk

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"weir/broker"
)

// exportVersion is the version of the lines that Export writes.
const exportVersion = 1

// The kinds of a line.
const (
	lineHead    = "weir"    // the first one: version of the lines, when they were written
	lineChannel = "channel" // a channel; what follows is its
	lineChange  = "change"  // of the history, oldest first
	lineItem    = "item"    // in the order in which they came into being
	lineKey     = "key"     // an idempotency key
	lineEnd     = "end"     // the last one: how many channels there were
)

// line is one line of an export.
type line struct {
	Type    string          `json:"type"`
	Version int             `json:"version,omitempty"`
	Channel string          `json:"channel,omitempty"`
	Epoch   string          `json:"epoch,omitempty"`
	Seq     uint64          `json:"seq,omitempty"`
	Forks   []broker.Fork   `json:"forks,omitempty"`
	Op      string          `json:"op,omitempty"`
	Cause   string          `json:"cause,omitempty"`
	Group   string          `json:"group,omitempty"`
	Key     string          `json:"key,omitempty"`
	Data    json.RawMessage `json:"data,omitempty"`
	At      *time.Time      `json:"at,omitempty"`
	Ends    *time.Time      `json:"ends,omitempty"`
	Count   int             `json:"channels,omitempty"`
}

// Export writes the channels whose names begin with prefix as NDJSON, and calls progress after each. A channel that
// cannot be read is left out and reported, and so is what the log has lost; the others are written. It returns how many were written.
//
// Errors: those of the writer.
func (v *View) Export(to io.Writer, prefix string, now time.Time, progress func(), report func(what string)) (channels int, err error) {
	if v.log.damage != nil {
		report(v.log.damage.Error())
	}
	e := NewExporter(to, now)
	err = v.Each(prefix, func(name string, kept broker.Kept, err error) error {
		defer progress()
		if err != nil {
			report(fmt.Sprintf("channel %s: %v", name, err))
			return nil
		}
		return e.Add(name, &kept)
	})
	if err = errors.Join(err, e.End()); err != nil {
		return e.Channels, fmt.Errorf("export: %w", err)
	}
	return e.Channels, nil
}

// Exporter writes an export. It belongs to one goroutine.
type Exporter struct {
	Channels int // that were added

	w     *bufio.Writer
	lines *json.Encoder
	err   error // of the first line
}

// NewExporter begins an export.
func NewExporter(to io.Writer, now time.Time) *Exporter {
	w := bufio.NewWriterSize(to, 64<<10)
	e := &Exporter{w: w, lines: json.NewEncoder(w)}
	e.lines.SetEscapeHTML(false)
	e.err = e.lines.Encode(line{Type: lineHead, Version: exportVersion, At: instant(now)})
	return e
}

// Add writes a channel. Errors: those of the writer.
func (e *Exporter) Add(channel string, kept *broker.Kept) error {
	if e.err != nil {
		return e.err
	}
	e.Channels++
	return exportChannel(e.lines, channel, kept)
}

// End writes the last line, without which an export is not whole. Errors: those of the writer.
func (e *Exporter) End() error {
	return errors.Join(e.err, e.lines.Encode(line{Type: lineEnd, Count: e.Channels}), e.w.Flush())
}

func exportChannel(e *json.Encoder, name string, kept *broker.Kept) error {
	head := line{Type: lineChannel, Channel: name, Epoch: kept.Position.Epoch, Seq: kept.Position.Seq, Forks: kept.Forks}
	if err := e.Encode(head); err != nil {
		return err
	}
	for _, c := range kept.Changes {
		l := line{Type: lineChange, Op: c.Op.String(), Group: c.Group, Key: c.Key, Data: c.Data, At: instant(c.At)}
		if c.Expired {
			l.Cause = "expired"
		}
		if err := e.Encode(l); err != nil {
			return err
		}
	}
	for _, i := range kept.Items {
		l := line{Type: lineItem, Group: i.Group, Key: i.Key, Data: i.Data}
		if !i.Ends.IsZero() {
			l.Ends = instant(i.Ends)
		}
		if err := e.Encode(l); err != nil {
			return err
		}
	}
	for _, k := range kept.Keys {
		if err := e.Encode(line{Type: lineKey, Key: k.Key, Seq: k.Seq, At: instant(k.At)}); err != nil {
			return err
		}
	}
	return nil
}

func instant(t time.Time) *time.Time {
	utc := t.UTC().Truncate(time.Millisecond)
	return &utc
}
