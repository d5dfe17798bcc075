package loadtest

import (
	"context"
	"net"

	"weir/loadtest/scenario"
	"weir/loadtest/script"
)

// scripted reports whether users work off a script.
func (e *engine) scripted() bool { return e.plan.Measure == scenario.Script }

// prepareUsers prepares the users of a trial. Errors: those of the script.
func (e *engine) prepareUsers(t *trial) (err error) {
	if !e.scripted() {
		return nil
	}
	t.crew, err = script.New(script.Config{
		Plan: t.plan, Target: e.target, Options: &e.cfg.Target, Names: e.names, Sources: t.sources + uint32(t.first), Watch: watch{e, t},
		User: func(i int) (string, string, error) {
			user, token := e.userAt(i)
			return user, token, nil
		},
		Dial: e.dialUser, Now: func() int64 { return e.clock.now() - t.base },
		Freed: func() { e.churn.l.post(func() {}) }, // its tick follows
	})
	return err
}

// dialUser connects to where subscribers connect, or publishers.
func (e *engine) dialUser(ctx context.Context, publish bool) (net.Conn, error) {
	at, to := e.sub, e.at
	if publish {
		at, to = e.pub, e.to
	}
	if dial := e.connector(at); dial != nil {
		return dial(ctx)
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", to[int(e.turn.Add(1)-1)%len(to)].String())
}

// watch notes what users do.
type watch struct {
	e *engine
	t *trial
}

func (w watch) Opened(took int64) {
	w.e.tally.opened.Add(1)
	w.e.tally.open.Add(1)
	w.e.connected(took)
}

func (w watch) Closed() { w.e.tally.open.Add(-1) }

func (w watch) Sent(n int) {
	w.e.tally.sent.Add(uint64(n))
	w.e.tally.answered.Add(uint64(n))
}

func (w watch) Acked(n int) { w.e.tally.acked.Add(uint64(n)) }

func (w watch) Read(n int) {
	w.e.tally.bytes.Add(uint64(n))
	w.e.tally.checked.Add(uint64(n))
}

func (w watch) Delivered() { w.e.tally.messages.Add(1) }

func (w watch) Passed(due, ended, took int64) {
	w.t.meterLoop.post(func() { w.t.meter.record(ended, due, took) })
}

func (w watch) Trouble(text string) { w.e.trouble(text) }
