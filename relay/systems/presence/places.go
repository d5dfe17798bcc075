package presence

import (
	"hash/maphash"
	"maps"
	"strings"
	"sync"

	"weir/relay/hub"
	"weir/relay/problem"
)

const placeParts = 16

// places are the channels that each connection has joined, with its status and metadata.
type places struct {
	// Set once by Start.
	limit int // channels of one connection

	parts [placeParts]placePart // by connection
}

type placePart struct {
	// Guarded by mu.
	mu          sync.Mutex
	connections map[string]map[string]hub.Attendance // by connection and channel
}

var placeSeed = maphash.MakeSeed()

func (p *places) part(connection string) *placePart {
	return &p.parts[maphash.String(placeSeed, connection)%placeParts]
}

// put notes that a connection is in a channel. It returns the attendance, in which what a is silent about is as it was. It
// refuses channels beyond the limit.
func (p *places) put(connection, channel string, a hub.Attendance) (hub.Attendance, error) {
	part := p.part(connection)
	part.mu.Lock()
	defer part.mu.Unlock()
	channels := part.connections[connection]
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
		if part.connections == nil {
			part.connections = make(map[string]map[string]hub.Attendance)
		}
		channels = make(map[string]hub.Attendance, 1)
		part.connections[connection] = channels
	}
	channels[strings.Clone(channel)] = a
	return a, nil
}

// remove removes a connection from a channel.
func (p *places) remove(connection, channel string) {
	part := p.part(connection)
	part.mu.Lock()
	defer part.mu.Unlock()
	channels := part.connections[connection]
	delete(channels, channel)
	if len(channels) == 0 {
		delete(part.connections, connection)
	}
}

// of returns a copy of the channels of a connection.
func (p *places) of(connection string) map[string]hub.Attendance {
	part := p.part(connection)
	part.mu.Lock()
	defer part.mu.Unlock()
	return maps.Clone(part.connections[connection])
}

// removeAll removes a connection, and returns the channels that it was in.
func (p *places) removeAll(connection string) map[string]hub.Attendance {
	part := p.part(connection)
	part.mu.Lock()
	defer part.mu.Unlock()
	channels := part.connections[connection]
	delete(part.connections, connection)
	return channels
}
