package loadtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"weir/internal/pause"
	"weir/loadtest/check"
	"weir/loadtest/target"
)

// ErrCheck means that Check has found that a target does not do what it is expected to.
var ErrCheck = errors.New("check failed")

// Check connects one subscriber and one publisher, publishes one message, and writes to w what it sent, saw and understood,
// step by step. Errors: ErrSetup, target.ErrTarget, or ErrCheck when the message does not arrive intact.
func Check(ctx context.Context, cfg Config, w io.Writer) error {
	if cfg.Setup == 0 {
		cfg.Setup = 5 * time.Second
	}
	t, sub, pub, err := target.New(cfg.Target)
	if err != nil {
		return err
	}
	for _, at := range []target.Endpoint{sub, pub} {
		if _, err := resolve(&cfg, at); err != nil {
			return err
		}
	}
	k := &tracer{ctx: ctx, cfg: &cfg, w: w, t: t, traits: t.Traits(), channel: cfg.Scenario.Prefix + "0"}
	if cfg.Scenario.Prefix == "" {
		k.channel = "bench:0"
	}
	user, token := "u0", ""
	if cfg.Token != nil {
		if token, err = cfg.Token(user); err != nil {
			return setupError("make a token: %w", err)
		}
	}
	if p, ok := t.(target.Preparer); ok {
		names, err := p.Prepare(ctx, user, token, [][]string{{user}})
		if err != nil {
			return setupError("%s: %w", cfg.Target.URL, err)
		}
		k.channel = names[0]
	}
	s := &tracedConn{k: k, name: "subscriber", sub: target.Subscriber{User: user, Token: token, Channels: []target.Followed{{Name: k.channel}}}}
	defer s.close()
	if err := s.subscribe(sub); err != nil {
		return err
	}
	if k.traits.Settle {
		k.say("", "the target does not confirm subscriptions: waiting %v", settleTime)
		if err := pause.For(ctx, settleTime); err != nil {
			return err
		}
	}
	return k.publish(s, pub, user, token)
}

// tracer is a check under way. One goroutine uses it.
type tracer struct {
	ctx     context.Context
	cfg     *Config
	w       io.Writer
	t       target.Target
	traits  target.Traits
	channel string
	arrived bool   // the message, intact
	hint    string // why it did not
}

// say writes a line. mark is > for what was sent, < for what was seen.
func (k *tracer) say(mark, format string, args ...any) {
	text := strings.TrimRight(fmt.Sprintf(format, args...), "\r\n")
	if mark == "" {
		mark = " "
	}
	for line := range strings.SplitSeq(text, "\n") {
		if line = strings.TrimRight(line, "\r"); len(line) > 600 {
			line = fmt.Sprintf("%s ... (%d bytes)", line[:600], len(line))
		}
		_, _ = fmt.Fprintf(k.w, "  %s %s\n", mark, printable(line)) // a terminal that went away is no reason to stop
	}
}

func (k *tracer) title(format string, args ...any) { _, _ = fmt.Fprintf(k.w, format+"\n", args...) }

// printable is a text without what would confuse a terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0xfffd {
			return '.'
		}
		return r
	}, text)
}

// publish publishes one message and waits for it at the subscriber.
func (k *tracer) publish(s *tracedConn, at target.Endpoint, user, token string) error {
	p := &tracedConn{k: k, name: "publisher", sub: target.Subscriber{User: user, Token: token, Publisher: true, Channels: s.sub.Channels}}
	p.sub.Channels = append([]target.Followed(nil), s.sub.Channels...)
	defer p.close()
	var err error
	if k.traits.Socket {
		err = p.subscribe(at)
	} else {
		err = p.dial(at)
	}
	if err != nil {
		return err
	}
	k.title("publish")
	size := max(int(k.cfg.Scenario.Payload), 2*check.MinSize)
	data := check.Stamp{Number: 1}.Append(nil, size)
	out := k.t.Publish(nil, []target.Message{{Channel: k.channel, Data: data}})
	if k.traits.Socket {
		p.sayFrames(out)
	} else {
		k.say(">", "%s", out)
	}
	if _, err := p.conn.Write(out); err != nil {
		return setupError("publish: %w", err)
	}
	if !k.traits.Socket {
		if err := p.response(); err != nil {
			return err
		}
	}
	k.title("wait for the message at the subscriber")
	err = s.until(func() bool { return k.arrived }, "the message does not arrive")
	if err == nil {
		k.title("ok: subscribed, published, and the message arrived intact")
	}
	return err
}
