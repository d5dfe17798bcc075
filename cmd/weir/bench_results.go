package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"

	"weir/loadtest"
	"weir/loadtest/remotewrite"
	"weir/loadtest/report"
	"weir/loadtest/scenario"
)

// outputs are the forms a report is wanted in, and what it is held against.
type outputs struct {
	JSON   bool     `name:"json" help:"Print the report as JSON."`
	HTML   string   `name:"html" placeholder:"FILE" help:"Write the report as a page with plots."`
	CSV    string   `name:"csv" placeholder:"FILE" help:"Write the run over time as CSV."`
	JUnit  string   `name:"junit" placeholder:"FILE" help:"Write the conditions and whether they hold as JUnit XML."`
	Remote string   `name:"remote-write" placeholder:"URL" help:"Send the run over time, and its result, to a Prometheus that takes remote writes, such as http://127.0.0.1:9091/api/v1/write."`
	FailIf []string `name:"fail-if" sep:"none" placeholder:"CONDITION" help:"Exit with 1 when the condition holds, such as p99>60ms or lost>0; may be repeated. A number that is not known counts as if it held."`
}

// limits are the conditions of a scenario and of the flags.
func (o outputs) limits(s scenario.Scenario) (list []report.Threshold, err error) {
	for i, text := range slices.Concat(s.FailIf, o.FailIf) {
		t, err := report.ParseThreshold(text)
		if err != nil {
			from := "--fail-if"
			if i < len(s.FailIf) {
				from = "the scenario's fail-if:"
			}
			return nil, wrongf("bench: %s %w", from, err)
		}
		list = append(list, t)
	}
	return list, nil
}

// writable returns an error, before a run, if a report could not be kept.
func (o outputs) writable(more ...string) error {
	if u, err := url.Parse(o.Remote); o.Remote != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		return wrongf("bench: --remote-write %q: expected http://host:port/api/v1/write", o.Remote)
	}
	for _, name := range append(more, o.HTML, o.CSV, o.JUnit) {
		if err := writable(name); err != nil {
			return wrongf("bench: %w", err)
		}
	}
	return nil
}

// write writes the report; it is printed as text unless JSON is wanted.
func (o outputs) write(w io.Writer, res *report.Result, limits []report.Threshold) error {
	for _, f := range []struct {
		name  string
		write func(io.Writer) error
	}{
		{o.HTML, func(w io.Writer) error { return report.HTML(w, res) }},
		{o.CSV, res.CSV},
		{o.JUnit, func(w io.Writer) error { return res.JUnit(w, res.Verdicts(limits)) }},
	} {
		if err := writeFile(f.name, f.write); err != nil {
			return fmt.Errorf("bench: %w", err)
		}
	}
	if o.Remote != "" {
		if err := remotewrite.Send(context.Background(), o.Remote, res.Metrics()); err != nil {
			return fmt.Errorf("bench: --remote-write: %w", err)
		}
	}
	print := res.Text
	if o.JSON {
		print = res.JSON
	}
	if err := print(w); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	return nil
}

// verdict is an error if the run is not valid, or fails by a limit.
func verdict(res *report.Result, limits []report.Threshold) error {
	var failed []error
	for _, why := range res.InvalidBecause {
		failed = append(failed, &invalidError{fmt.Errorf("bench: NOT VALID: %s", why)})
	}
	for _, t := range limits {
		if bad, words := t.Failed(res); bad {
			failed = append(failed, fmt.Errorf("bench: failed by %s", words))
		}
	}
	return errors.Join(failed...)
}

// writable returns an error, before a run, if its results could not be kept.
func writable(name string) error {
	if name == "" {
		return nil
	}
	_, err := os.Stat(name)
	f, failed := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o600)
	if failed != nil {
		return failed
	}
	if errors.Is(err, os.ErrNotExist) { // it was not there: nor is it if the run fails
		defer func() { _ = os.Remove(name) }()
	}
	return f.Close()
}

// writeFile writes a file; none without a name.
func writeFile(name string, write func(io.Writer) error) error {
	if name == "" {
		return nil
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

type reportCommand struct {
	File string `arg:"" help:"A file of --out, or a JSON report."`
	outputs
}

// Run reports a recorded run.
func (c *reportCommand) Run(p *program) error {
	limits, err := c.limits(scenario.Scenario{})
	if err != nil {
		return err
	}
	res, err := report.ReadFile(c.File)
	if err != nil {
		return benchError(err)
	}
	if err := c.writable(); err != nil {
		return err
	}
	if err := c.write(p.stdout, res, limits); err != nil || len(limits) == 0 {
		return err
	}
	return verdict(res, limits)
}

type unitCommand struct {
	Runs int  `default:"15" placeholder:"N" help:"Short runs that the median is of. Default: 15."`
	JSON bool `name:"json" help:"Print the price as JSON."`
}

// Run measures and prints the price.
func (c *unitCommand) Run(p *program) error {
	if c.Runs < 1 {
		return wrongf("bench unit: --runs: expected more than 0")
	}
	price, err := loadtest.Unit(c.Runs)
	if err != nil {
		return benchError(err)
	}
	if c.JSON {
		return json.NewEncoder(p.stdout).Encode(price)
	}
	_, err = fmt.Fprintln(p.stdout, price)
	return err
}
