package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"weir/loadtest"
	"weir/loadtest/report"
)

// outputs are the forms a report is wanted in.
type outputs struct {
	json bool
	html string
}

// write writes the report; it is printed as text unless JSON is wanted.
func (o outputs) write(w io.Writer, res *report.Result) error {
	if o.html != "" {
		if err := writePage(o.html, res); err != nil {
			return err
		}
	}
	if o.json {
		return res.JSON(w)
	}
	return res.Text(w)
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

func writePage(name string, runs ...*report.Result) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(report.HTML(f, runs...), f.Close())
}

type compareCommand struct {
	Files []string `arg:"" help:"Two or more runs: JSON reports, or files of --out."`
	HTML  string   `name:"html" placeholder:"FILE" help:"Write the comparison as a page with plots."`
}

// Run prints the runs side by side, with ratios to the first.
func (c *compareCommand) Run(p *program) error {
	if len(c.Files) < 2 {
		return wrongf("bench compare: expected two or more files")
	}
	var runs []*report.Result
	for _, name := range c.Files {
		res, err := report.ReadFile(name)
		if err != nil {
			return benchError(err)
		}
		runs = append(runs, res)
	}
	if c.HTML != "" {
		if err := writePage(c.HTML, runs...); err != nil {
			return fmt.Errorf("bench compare: %w", err)
		}
	}
	return report.Compare(p.stdout, runs...)
}

type reportCommand struct {
	File string `arg:"" help:"A file of --out, or a JSON report."`
	JSON bool   `name:"json" help:"Print the report as JSON."`
	HTML string `name:"html" placeholder:"FILE" help:"Write the report as a page with plots."`
}

// Run reports a recorded run.
func (c *reportCommand) Run(p *program) error {
	res, err := report.ReadFile(c.File)
	if err != nil {
		return benchError(err)
	}
	return (outputs{c.JSON, c.HTML}).write(p.stdout, res)
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
