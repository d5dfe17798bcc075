package main

import (
	"cmp"
	"fmt"

	"weir/relay/config/loader"
)

type configCommands struct {
	Check configCheck `cmd:"" help:"Check the configuration and name every problem with its place."`
	Print configPrint `cmd:"" help:"Print the configuration in force, with the source of every value."`
}

type configCheck struct {
	configFlags `embed:""`
}

// Help is the detailed help of the command.
func (*configCheck) Help() string {
	return "Reads what weir serve would read with the same flags and environment, and the files that are named in it. " +
		"Exits with 2 if there is any problem."
}

// Run checks the configuration and reports what is wrong with it.
func (c *configCheck) Run(p *program) error {
	loaded, err := loader.Load(c.source(p))
	if err != nil {
		return &usageError{err}
	}
	p.warn(loaded.Unused)
	for _, note := range loaded.Notes {
		_, _ = fmt.Fprintf(p.stderr, "weir: note: %s\n", note)
	}
	_, err = fmt.Fprintf(p.stdout, "%s: ok\n", cmp.Or(c.file(p), "no configuration file"))
	return err
}

type configPrint struct {
	configFlags `embed:""`
}

// Help is the detailed help of the command.
func (*configPrint) Help() string {
	return "The output is a complete configuration file, but for its secrets, which it does not show."
}

// Run prints.
func (c *configPrint) Run(p *program) error {
	loaded, err := loader.Load(c.source(p))
	if err != nil {
		return &usageError{err}
	}
	p.warn(loaded.Unused)
	return loader.Print(p.stdout, loaded.Config, loaded.Origins)
}

// unused is the warning about a variable that sets nothing.
const unused = "unknown variable, which sets nothing here"

// warn names the variables that look like weir's and set nothing.
func (p *program) warn(variables []string) {
	for _, name := range variables {
		_, _ = fmt.Fprintf(p.stderr, "weir: warning: %s: %s\n", name, unused)
	}
}
