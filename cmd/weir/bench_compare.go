package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"weir/loadtest/report"
)

type compareCommand struct {
	Files    []string `arg:"" help:"Runs: JSON reports, or files of --out. Without --baseline, the first is the baseline."`
	Baseline []string `sep:"none" placeholder:"FILE" help:"A run to compare with; may be repeated: with 3 runs or more on either side, noise is distinguished from change."`
	FailIf   []string `name:"fail-if" sep:"none" placeholder:"CONDITION" help:"Exit with 1 when it holds: a change of the medians, such as p99>+10% or deliveriesPerSecond<-5%, or a limit for every run, such as lost>0; may be repeated."`
	JSON     bool     `name:"json" help:"Print the conditions and whether they hold as JSON."`
	HTML     string   `name:"html" placeholder:"FILE" help:"Write the comparison as a page with plots."`
}

// Help is the detailed help of the command.
func (*compareCommand) Help() string {
	return "Prints the runs side by side, with ratios to the first. With --fail-if, a change counts when the medians differ by more than the limit and " +
		"the order of all runs does not come about by chance (Mann-Whitney, one-sided, 5 %). That takes 3 runs on either side; with fewer, the " +
		"medians alone decide. Exits with 0, 1 when a condition holds, 2 for wrong usage, and 3 when a condition was given and a run is NOT VALID."
}

// Run prints the runs side by side, with ratios to the first, and holds them against the conditions.
func (c *compareCommand) Run(p *program) error {
	var conditions []report.Condition
	for _, text := range c.FailIf {
		t, err := report.ParseCondition(text)
		if err != nil {
			return wrongf("bench compare: --fail-if %w", err)
		}
		conditions = append(conditions, t)
	}
	if len(c.Baseline)+len(c.Files) < 2 {
		return wrongf("bench compare: expected two or more files")
	}
	baseline, err := readRuns(c.Baseline)
	if err != nil {
		return err
	}
	runs, err := readRuns(c.Files)
	if err != nil {
		return err
	}
	all := append(baseline[:len(baseline):len(baseline)], runs...)
	if len(baseline) == 0 {
		baseline, runs = runs[:1], runs[1:]
	}
	if err := writeFile(c.HTML, func(w io.Writer) error { return report.HTML(w, all...) }); err != nil {
		return wrongf("bench compare: %w", err)
	}
	findings := make([]report.Finding, 0, len(conditions))
	for _, t := range conditions {
		findings = append(findings, t.Of(baseline, runs))
	}
	if c.JSON {
		enc := json.NewEncoder(p.stdout)
		enc.SetIndent("", "  ")
		err = enc.Encode(map[string]any{"findings": findings, "valid": valid(all)})
	} else {
		err = report.Compare(p.stdout, all...)
	}
	if err != nil {
		return fmt.Errorf("bench compare: %w", err)
	}
	var failed []error
	for i, r := range all {
		if len(conditions) > 0 && !r.Valid {
			failed = append(failed, &invalidError{fmt.Errorf("bench compare: run %c is NOT VALID", 'A'+i%26)})
		}
	}
	for _, f := range findings {
		if f.Failed {
			failed = append(failed, fmt.Errorf("bench compare: failed by %s", f.Words))
		} else if !c.JSON {
			_, _ = fmt.Fprintf(p.stdout, "passed %s\n", f.Words) // what could not be written before would have ended this
		}
	}
	return errors.Join(failed...)
}

func readRuns(names []string) (runs []*report.Result, err error) {
	for _, name := range names {
		res, err := report.ReadFile(name)
		if err != nil {
			return nil, benchError(err)
		}
		runs = append(runs, res)
	}
	return runs, nil
}

func valid(runs []*report.Result) bool {
	for _, r := range runs {
		if !r.Valid {
			return false
		}
	}
	return true
}
