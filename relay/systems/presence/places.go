package presence

import (
	"hash/maphash"
	"maps"
	"strings"
	"sync"

	"weir/relay"
	"weir/relay/problem"
)

const placeParts = 16

// places is where each connection has said it is, and how.
type places struct {
	// Set once by Start.
	most int // channels of one connection

	parts [placeParts]placePart // by connection
}

type placePart struct {
	// Guarded by mu.
	mu          sync.Mutex
	connections map[string]map[string]relay.Attendance // by connection and channel
}

var placeSeed = maphash.MakeSeed()

func (p *places) part(connection string) *placePart {
	return &p.parts[maphash.String(placeSeed, connection)%placeParts]
}

// put notes that a connection is in a channel, and answers how: what is not said stays as it was. It refuses one
// channel too many.
func (p *places) put(connection, channel string, a relay.Attendance) (relay.Attendance, error) {
	part := p.part(connection)
	part.mu.Lock()
	defer part.mu.Unlock()
	channels := part.connections[connection]
	before, known := channels[channel]
	if !known && len(channels) >= p.most {
		return a, problem.New(429, "too_many", "this connection is in as many channels as it may", false)
	}
	if a.Status == "" {
		a.Status = before.Status
	}
	if a.Metadata == nil {
		a.Metadata = before.Metadata
	}
	if channels == nil {
		if part.connections == nil {
			part.connections = make(map[string]map[string]relay.Attendance)
		}
		channels = make(map[string]relay.Attendance, 1)
		part.connections[connection] = channels
	}
	channels[strings.Clone(channel)] = a
	return a, nil
}

// remove forgets that a connection is in a channel.
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

// of is a copy of where a connection is.
func (p *places) of(connection string) map[string]relay.Attendance {
	part := p.part(connection)
	part.mu.Lock()
	defer part.mu.Unlock()
	return maps.Clone(part.connections[connection])
}

// take forgets a connection, and answers where it was.
func (p *places) take(connection string) map[string]relay.Attendance {
	part := p.part(connection)
	part.mu.Lock()
	defer part.mu.Unlock()
	channels := part.connections[connection]
	delete(part.connections, connection)
	return channels
}
