// Command weir is the relay: weir serve runs it, weir token makes tokens to try it with, weir vapid keys for
// web push, weir config checks and shows its configuration.
//
// The program refuses to start with a configuration that has any problem, and outside --dev without
// secrets of its own. It reads the environment here and nowhere else. Results go to stdout; errors, as
// lines that begin with "weir: ", and logs go to stderr. It exits with 0 when all is well, 2 for a wrong
// command line or configuration, 1 for what fails later, and 3 when weir bench has not measured what it was asked to.
//
// The goroutine of main runs the command. While serving, one more runs the relay: the end of its context
// stops it and main waits for it, unless a second signal asks to leave at once.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

func main() {
	os.Exit(run(os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr))
}

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1 // something failed while running
	exitUsage   = 2 // the command line or the configuration is wrong
	exitInvalid = 3 // weir bench has not measured what it was asked to: its result says nothing, good or bad
)

// run is the whole program. It takes over the signals of the process only while it serves.
func run(args, env []string, stdin io.Reader, stdout, stderr io.Writer) int {
	p := &program{env: env, stdin: stdin, stdout: stdout, stderr: stderr, signals: osSignals, open: newServer}
	return p.run(args)
}

// program is what commands have of the world. Set once by run.
type program struct {
	env     []string
	stdin   io.Reader
	stdout  io.Writer
	stderr  io.Writer
	signals func() (_ <-chan os.Signal, stop func())
	open    opener
}

func (p *program) run(args []string) int {
	err := p.execute(args)
	if err == nil {
		return exitOK
	}
	for line := range strings.SplitSeq(strings.TrimSpace(err.Error()), "\n") {
		_, _ = fmt.Fprintf(p.stderr, "weir: %s\n", line)
	}
	var wrong *usageError
	var invalid *invalidError
	switch {
	case errors.As(err, &wrong):
		return exitUsage
	case errors.As(err, &invalid):
		return exitInvalid
	}
	return exitFailure
}

// usageError is an error that the user mends on the command line or in the configuration.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// invalidError is a run of weir bench that has not measured what it was asked to.
type invalidError struct{ err error }

func (e *invalidError) Error() string { return e.err.Error() }
func (e *invalidError) Unwrap() error { return e.err }

// wrongf makes a usageError.
func wrongf(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// getenv is the last value of a variable; "" if it is not set.
func (p *program) getenv(name string) (value string) {
	for _, entry := range p.env {
		if v, ok := strings.CutPrefix(entry, name+"="); ok {
			value = v
		}
	}
	return value
}

// osSignals delivers the signals that mean something to a server.
func osSignals() (<-chan os.Signal, func()) {
	// Room for an impatient operator: the runtime drops signals that find no room.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	signal.Ignore(syscall.SIGPIPE) // a log that nobody reads any more is no reason to end: writing to it fails
	return signals, func() {
		signal.Stop(signals)
		signal.Reset(syscall.SIGPIPE)
	}
}
