package presence

import (
	"maps"
	"strings"
	"sync"

	"weir/relay/presence"
	"weir/relay/problem"
)

// places are the channels that each connection has joined, with its status and metadata.
type places struct {
	// Set once by Start.
	limit int // channels of one connection

	// Guarded by mu, which is held for one look-up or change at a time.
	mu          sync.Mutex
	connections map[string]map[string]presence.Attendance // by connection and channel
}

// put notes that a connection is in a channel. It returns the attendance, in which what a is silent about is as it was. It
// refuses channels beyond the limit.
func (p *places) put(connection, channel string, a presence.Attendance) (presence.Attendance, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	channels := p.connections[connection]
	before, known := channels[channel]
	if !known && len(channels) >= p.limit {
		return a, problem.New(429, "too_many", "this connection is in too many channels: leave one first", false)
	}
	if a.Status == "" {
		a.Status = before.Status
	}
	if a.Metadata == nil {
		a.Metadata = before.Metadata
	}
	if channels == nil {
		channels = make(map[string]presence.Attendance, 1)
		p.connections[connection] = channels
	}
	channels[strings.Clone(channel)] = a
	return a, nil
}

// remove removes a connection from a channel.
func (p *places) remove(connection, channel string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	channels := p.connections[connection]
	delete(channels, channel)
	if len(channels) == 0 {
		delete(p.connections, connection)
	}
}

// of returns a copy of the channels of a connection.
func (p *places) of(connection string) map[string]presence.Attendance {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.connections[connection])
}

// removeAll removes a connection, and returns the channels that it was in.
func (p *places) removeAll(connection string) map[string]presence.Attendance {
	p.mu.Lock()
	defer p.mu.Unlock()
	channels := p.connections[connection]
	delete(p.connections, connection)
	return channels
}
