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

// Run checks and says so.
func (c *configCheck) Run(p *program) error {
	cfg, _, err := loader.Load(c.source(p))
	if err != nil {
		return &usageError{err}
	}
	p.warn(c.source(p).Env)
	for _, note := range loader.Notes(cfg) {
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
	cfg, origins, err := loader.Load(c.source(p))
	if err != nil {
		return &usageError{err}
	}
	p.warn(c.source(p).Env)
	return loader.Print(p.stdout, cfg, origins)
}

// unused is the warning about a variable that sets nothing.
const unused = "unknown variable, which sets nothing here"

// warn names the variables that look like weir's and set nothing.
func (p *program) warn(env []string) {
	for _, name := range loader.Unused(env, known()) {
		_, _ = fmt.Fprintf(p.stderr, "weir: warning: %s: %s\n", name, unused)
	}
}
