package main

import (
	"bytes"
	"io"
	"log/slog"
	"sync"
	"time"

	"weir/internal/contain"
)

// maxLog bounds the lines that wait for the reader of the log, in bytes.
const maxLog = 1 << 20

// lastLog is how long the end of the process waits for them.
const lastLog = time.Second

// logPipe is between the log and a standard error that somebody reads, or nobody: a reader that stands still or has gone
// away holds up nobody. What there is no room for is left out, and a line says how much when there is room again.
type logPipe struct {
	// Set once.
	w     io.Writer
	wake  chan struct{} // room for one
	ended chan struct{} // closed when run has ended
	lost  func(w io.Writer, lines int)

	// Guarded by mu.
	mu      sync.Mutex
	waiting []byte
	missing int // lines that were left out
	closed  bool
}

// newLogPipe starts a pipe; close ends it. lost writes the line that says how many lines are missing.
func newLogPipe(w io.Writer, lost func(w io.Writer, lines int)) *logPipe {
	p := &logPipe{w: w, wake: make(chan struct{}, 1), ended: make(chan struct{}), lost: lost}
	silent := contain.Hook(func(string, any) {}) // there is nowhere to tell
	silent.Loop(nil, "log", p.isClosed, p.run, func() { close(p.ended) })
	return p
}

// Write takes lines, and never fails or waits.
func (p *logPipe) Write(b []byte) (int, error) {
	p.mu.Lock()
	if p.closed || len(p.waiting)+len(b) > maxLog {
		p.missing += bytes.Count(b, []byte{'\n'})
	} else {
		p.waiting = append(p.waiting, b...)
	}
	p.mu.Unlock()
	p.poke()
	return len(b), nil
}

func (p *logPipe) poke() {
	select {
	case p.wake <- struct{}{}:
	default: // it is about to look anyway
	}
}

// run writes what waits, until the pipe is closed and nothing does.
func (p *logPipe) run() {
	var writing []byte
	for {
		p.mu.Lock()
		writing, p.waiting = p.waiting, writing[:0]
		missing, closed := p.missing, p.closed
		p.missing = 0
		p.mu.Unlock()
		if len(writing) == 0 && missing == 0 {
			if closed {
				close(p.ended)
				return
			}
			<-p.wake
			continue
		}
		_, err := p.w.Write(writing)
		if err == nil && missing > 0 {
			p.lost(p.w, missing)
		}
		if err != nil && !closed { // nobody reads it any more, but somebody may again: a file system has room, a name is opened anew
			p.mu.Lock()
			p.missing += missing + bytes.Count(writing, []byte{'\n'})
			p.mu.Unlock()
			<-p.wake
		}
	}
}

func (p *logPipe) isClosed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

// close writes what waits, for as long as that takes but no longer than lastLog.
func (p *logPipe) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.poke()
	select {
	case <-p.ended:
	case <-time.After(lastLog):
	}
}

// lostLines is the line that says that lines are missing, in the format of the log.
func lostLines(format func(w io.Writer) (*slog.Logger, error)) func(w io.Writer, lines int) {
	return func(w io.Writer, lines int) {
		if log, err := format(w); err == nil {
			log.Warn("lines of the log were dropped: their reader is too slow", slog.Int("lines", lines))
		}
	}
}
