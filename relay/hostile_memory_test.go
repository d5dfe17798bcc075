package relay

import (
	"bytes"
	"runtime"
	"testing"

	"weir/internal/units"
	"weir/internal/wire"
)

// inUse is the memory of heap and stacks that is in use after a collection.
func inUse() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what pools held is gone after the second
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// crowd connects n clients.
func (g *rig) crowd(n int, lines ...string) []*wsPeer {
	list := make([]*wsPeer, n)
	for i := range list {
		list[i] = g.ws("u1", lines...)
	}
	return list
}

// received waits until the relay has read so many more bytes of its clients' frames, and handled them.
func (g *rig) received(base uint64, more int) {
	g.Helper()
	g.until("the bytes are read", func() bool { return g.relay.hub.Counters.BytesIn.Get() >= base+uint64(more) })
	for _, s := range g.relay.sessions.Sessions() {
		s.Settle()
	}
}

// Memory follows what has come, not what frames announce.
func TestAnnouncedLength(t *testing.T) {
	cfg := openConfig()
	cfg.Limit.PerUser = 10_000
	g := launch(t, cfg)
	const n = 1000
	peers := g.crowd(n)
	before, base := inUse(), g.relay.hub.Counters.BytesIn.Get()
	promise := append(announce(fin|wire.OpText, masked, 64<<10), make([]byte, 10)...)
	for _, p := range peers {
		p.raw(promise)
	}
	g.received(base, n*len(promise))
	if grown := inUse() - before; grown > n*8<<10 { // and the workers that read them are still warm
		t.Errorf("%d announcements of 64 KiB took %s, more than 8 KiB each", n, units.Size(grown))
	}
	// Half of what was announced is held, in buffers that have room for as much again.
	for _, p := range peers[:100] {
		p.raw(make([]byte, 32<<10))
	}
	g.received(base, n*len(promise)+100*32<<10)
	if grown := inUse() - before; grown > 100*(100<<10)+n*8<<10 {
		t.Errorf("100 times 32 KiB took %s", units.Size(grown))
	}
	// What was promised may still come, and no announcement has stopped anything else.
	p := peers[0]
	p.raw(make([]byte, 64<<10-10-32<<10))
	p.wantError("invalid_json")
	p.alive()
	g.ws("u2").alive()
}

// The same inside a message whose first fragment has come.
func TestAnnouncedFragment(t *testing.T) {
	cfg := openConfig()
	cfg.Limit.PerUser = 10_000
	g := launch(t, cfg)
	const n = 200
	peers := g.crowd(n)
	before, base := inUse(), g.relay.hub.Counters.BytesIn.Get()
	promise := append(clientFrame(wire.OpText, []byte("[")), announce(fin, masked, 64<<10-1)...)
	for _, p := range peers {
		p.raw(promise)
	}
	g.until("the bytes are read", func() bool { return g.relay.hub.Counters.BytesIn.Get() >= base+uint64(n*len(promise)) })
	if grown := inUse() - before; grown > n*24<<10 { // a goroutine waits for each, with its stack
		t.Errorf("%d announcements of 64 KiB took %s", n, units.Size(grown))
	}
	g.ws("u2").alive()
}

// What inflates to more than a message may have is never held: it is passed over, or 1009 if it is too much for that.
func TestDecompressionBomb(t *testing.T) {
	bomb := bytes.Repeat(append(deflated(t, make([]byte, 1<<20)), 0, 0, 0xff, 0xff), 200) // inflates to 200 MiB
	if len(bomb) < 190<<10 || len(bomb) > 210<<10 {
		t.Fatalf("the bomb has %d bytes", len(bomb))
	}
	for _, limit := range []units.Size{64 * units.KiB, 256 * units.KiB} {
		cfg := openConfig()
		cfg.Compression = true
		cfg.Limit.Message = limit
		g := launch(t, cfg)
		for name, frames := range map[string][]byte{
			"whole":        clientFrame(fin|rsv1|wire.OpText, bomb),
			"in fragments": append(clientFrame(rsv1|wire.OpText, bomb[:len(bomb)/2]), clientFrame(fin, bomb[len(bomb)/2:])...),
			"a small one":  clientFrame(fin|rsv1|wire.OpText, bomb[:60<<10]),
		} {
			p := g.ws("u1", offerDeflate)
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			before := m.TotalAlloc
			go func() { p.raw(frames) }() // ends with the connection
			if over := name == "whole" && len(bomb) > int(limit) || name == "in fragments" && len(bomb)/2 > int(limit); over {
				p.wantError("too_large") // not even looked at
			} else if code, reason := p.closed(); code != wire.CloseTooBig {
				t.Errorf("limit %s, %s: closed with %d %q, want 1009", limit, name, code, reason)
			}
			runtime.ReadMemStats(&m)
			if used := m.TotalAlloc - before; used > 10*uint64(limit)+2<<20 {
				t.Errorf("limit %s, %s: %s were allocated", limit, name, units.Size(used))
			}
		}
	}
}

// An idle session holds no goroutine and none of the buffers that its messages needed.
func TestIdleSessionsAreSmall(t *testing.T) {
	cfg := openConfig()
	cfg.Limit.PerUser = 10_000
	g := launch(t, cfg)
	const n = 200
	peers := g.crowd(n)
	goroutines, before := runtime.NumGoroutine(), inUse()
	big := textFrame(`{"type":"ping","pad":"` + string(bytes.Repeat([]byte("x"), 30<<10)) + `"}`)
	for _, p := range peers {
		p.raw(big)
		p.want("pong")
	}
	if grown := inUse() - before; grown > n*1<<10 {
		t.Errorf("%d sessions grew by %s with a message that is done with", n, units.Size(grown))
	}
	if more := runtime.NumGoroutine() - goroutines; more > n/2 {
		t.Errorf("%d more goroutines", more)
	}
}
