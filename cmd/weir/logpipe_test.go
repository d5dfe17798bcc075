package main

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"weir/internal/contain"
	"weir/relay/config"
)

// gate is a standard error whose reader stands still, or has gone.
type gate struct {
	mu   sync.Mutex
	open *sync.Cond
	shut bool
	gone bool
	got  bytes.Buffer
}

func newGate() *gate {
	g := &gate{}
	g.open = sync.NewCond(&g.mu)
	return g
}

func (g *gate) Write(b []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.shut {
		g.open.Wait()
	}
	if g.gone {
		return 0, errors.New("broken pipe")
	}
	return g.got.Write(b)
}

func (g *gate) set(shut, gone bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut, g.gone = shut, gone
	g.open.Broadcast()
}

func (g *gate) text() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.got.String()
}

func pipeTo(w io.Writer) (*logPipe, *slog.Logger) {
	format := func(w io.Writer) (*slog.Logger, error) {
		return newLogger(w, config.Log{Format: "json", Level: "info"}, new(slog.LevelVar))
	}
	p := newLogPipe(w, lostLines(format))
	log, _ := format(p)
	return p, log
}

// Nobody waits for whoever reads the log: what there is no room for is left out, and that is said when there is.
func TestLogNobodyReads(t *testing.T) {
	for name, gone := range map[string]bool{"stands still": false, "has gone": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGate()
				p, log := pipeTo(g)
				log.Info("first")
				synctest.Wait()
				g.set(!gone, gone)
				for range 3000 {
					log.Info("lost", slog.String("text", strings.Repeat("x", 1000)))
				}
				synctest.Wait()
				g.set(false, false)
				synctest.Wait()
				log.Info("last")
				synctest.Wait()
				p.close()
				lines := strings.Split(strings.TrimSpace(g.text()), "\n")
				if !strings.Contains(lines[0], `"first"`) || !strings.Contains(g.text(), `"last"`) || !strings.Contains(g.text(), "lines of the log were dropped") {
					t.Errorf("%d lines, of which the last is %s", len(lines), lines[len(lines)-1])
				}
				if size := len(g.text()); size > 2*maxLog {
					t.Errorf("%d bytes were kept", size)
				}
			})
		})
	}
}

// The end waits for what was logged last, but not for ever, and a panic of the writer does not end the log.
func TestLogEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		once := sync.Once{}
		contain.Throw(func(where string) {
			if where == "log" {
				once.Do(func() { panic("thrown by the test") })
			}
		})
		defer contain.Throw(nil)
		g := newGate()
		p, log := pipeTo(g)
		log.Info("first")
		p.close()
		if !strings.Contains(g.text(), "first") {
			t.Error("it is not written")
		}
		g = newGate()
		g.set(true, false)
		p, log = pipeTo(g)
		log.Info("stuck")
		p.close()
		g.set(false, false)
		synctest.Wait()
	})
}
