package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// traceCommand is weir trace.
type traceCommand struct {
	Channel string `arg:"" help:"Channel."`
	Seq     uint64 `arg:"" help:"Sequence number of the message, as the answer to its publication has it."`
	JSON    bool   `name:"json" help:"Print one JSON object."`

	adminFlags `embed:""`
}

// Help is the detailed help of the command.
func (*traceCommand) Help() string {
	return "Asks a running relay where a message is: in the log, in its window, on its way to whom. With tracing on, and a message that is traced, it prints when it got how far. Exit code 1 if there is no such message."
}

// whereabouts is the answer of the admin listener.
type whereabouts struct {
	Epoch     string          `json:"epoch"`
	Head      uint64          `json:"head"`
	Published bool            `json:"published"`
	Logged    bool            `json:"logged"`
	Change    json.RawMessage `json:"change"`
	Followers int             `json:"followers"`
	Flushed   bool            `json:"flushed"`
	Waiting   []struct {
		Connection string `json:"connectionId"`
		User       string `json:"userId"`
		Queued     int    `json:"queued"`
	} `json:"waiting"`
	Trace *struct {
		ID    string    `json:"traceId"`
		Begun time.Time `json:"begun"`
		Steps []struct {
			Name string  `json:"name"`
			MS   float64 `json:"ms"`
		} `json:"steps"`
	} `json:"trace"`
}

// Run asks and prints.
func (c *traceCommand) Run(p *program) error {
	r, err := c.relay(p)
	if err != nil {
		return err
	}
	ctx, cancel := untilSignal()
	defer cancel()
	var raw json.RawMessage
	if err := r.Do(ctx, "GET", "/trace?channel="+url.QueryEscape(c.Channel)+"&seq="+strconv.FormatUint(c.Seq, 10), nil, &raw); err != nil {
		return unlessLeft(ctx, fmt.Errorf("trace: %w", err))
	}
	var w whereabouts
	if err := json.Unmarshal(raw, &w); err != nil {
		return fmt.Errorf("trace: %w", err)
	}
	text := string(raw) + "\n"
	if !c.JSON {
		text = w.String()
	}
	if _, err := io.WriteString(p.stdout, text); err != nil {
		return unlessLeft(ctx, err)
	}
	if !w.Published {
		return errors.New("trace: there is no such message")
	}
	return nil
}

// String is what people read.
func (w *whereabouts) String() string {
	var b strings.Builder
	if !w.Published {
		fmt.Fprintf(&b, "the channel stands at %d: nothing of it is known here\n", w.Head)
		return b.String()
	}
	fmt.Fprintf(&b, "published: the channel stands at %d, epoch %s\n", w.Head, w.Epoch)
	if w.Logged {
		fmt.Fprintf(&b, "in the log: %s\n", w.Change)
	} else {
		b.WriteString("no longer in the log\n")
	}
	switch {
	case w.Followers == 0:
		b.WriteString("nobody follows the channel on this node\n")
	case !w.Flushed:
		fmt.Fprintf(&b, "in its window, or from before the first of %d followers came\n", w.Followers)
	case len(w.Waiting) == 0:
		fmt.Fprintf(&b, "written to all %d followers, as far as they were there\n", w.Followers)
	default:
		fmt.Fprintf(&b, "on its way to %d followers; the most waits for\n", w.Followers)
		for _, x := range w.Waiting {
			fmt.Fprintf(&b, "  %s (%s): %d bytes\n", x.Connection, x.User, x.Queued)
		}
	}
	if w.Trace == nil {
		b.WriteString("not traced, or too long ago\n")
		return b.String()
	}
	fmt.Fprintf(&b, "trace %s, from %s\n", w.Trace.ID, w.Trace.Begun.Format(time.RFC3339Nano))
	for _, s := range w.Trace.Steps {
		fmt.Fprintf(&b, "  %9.3f ms  %s\n", s.MS, s.Name)
	}
	return b.String()
}
