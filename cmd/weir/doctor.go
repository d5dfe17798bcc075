package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"weir/internal/doctor"
)

// doctorCommand is weir doctor.
type doctorCommand struct {
	URL      string        `arg:"" default:"http://127.0.0.1:8080" help:"Address of the relay, as browsers reach it (default ${default})."`
	Token    string        `placeholder:"TOKEN" help:"Token of a client; - reads it from the standard input."`
	Channel  string        `placeholder:"NAME" help:"A channel that the client follows."`
	Origin   string        `placeholder:"ORIGIN" help:"Origin of the page that connects, such as https://app.example. Default: the relay's own address."`
	Idle     time.Duration `placeholder:"TIME" help:"Watch a quiet connection for so long, such as 70s. Default: until the relay's heartbeat must have come."`
	Quick    bool          `help:"Watch no quiet connection: the heartbeat is 25s by default."`
	JSON     bool          `name:"json" help:"Print one JSON object a check."`
	Insecure bool          `help:"Do not check certificates."`
}

// Help is the detailed help of the command.
func (*doctorCommand) Help() string {
	return "Connects as the browser of a user would, through whatever stands before the relay, and prints one line a check: OK, or what is wrong and what to change in the proxy, the relay or the app. Exit code 1 if a check fails."
}

// Run makes the checks.
func (c *doctorCommand) Run(p *program) error {
	flags := remoteFlags{URL: c.URL, Insecure: c.Insecure}
	r, err := flags.relay()
	if err != nil {
		return err
	}
	r.Token, r.Origin = c.Token, c.Origin
	if r.Token == "-" {
		if r.Token, err = readLine(p.stdin, 64<<10); err != nil {
			return err
		}
	}
	if c.Idle < 0 || c.Idle > 0 && c.Quick {
		return wrongf("doctor: --idle must be a time such as 70s, and not beside --quick")
	}
	ctx, cancel := untilSignal()
	defer cancel()
	var broken error
	well := doctor.Examine(ctx, doctor.Examination{Relay: r, Channel: c.Channel, Idle: c.Idle, Quick: c.Quick}, func(f doctor.Finding) {
		if c.JSON {
			b, _ := json.Marshal(f)
			_, err = fmt.Fprintf(p.stdout, "%s\n", b)
		} else {
			mark := map[doctor.State]string{doctor.OK: "OK", doctor.Failed: "FAILED", doctor.Skipped: "-"}[f.State]
			_, err = fmt.Fprintf(p.stdout, "%-9s %-7s %s\n", f.Check, mark, f.Found)
			if f.Advice != "" && err == nil {
				_, err = fmt.Fprintf(p.stdout, "%-9s         %s\n", "", f.Advice)
			}
		}
		broken = errors.Join(broken, err)
	})
	switch {
	case ctx.Err() != nil:
		return errors.New("doctor: stopped")
	case broken != nil:
		return unlessLeft(ctx, broken)
	case !well:
		return errors.New("doctor: a check failed")
	}
	return nil
}
