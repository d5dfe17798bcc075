package chat

import (
	"hash/maphash"
	"sync"
)

// The parts of rooms, and how many rooms of a part stay in memory when they are not in use.
const (
	roomParts = 64
	idleRooms = 1024
)

// rooms are the rooms in memory. A room is found by its id while it is in use, and for a while after.
type rooms struct {
	// Set once by Start.
	load func(r *room) error

	parts [roomParts]roomPart
}

type roomPart struct {
	// Guarded by mu, which is held with no other lock.
	mu    sync.Mutex
	rooms map[string]*room
}

var roomSeed = maphash.MakeSeed()

func (x *rooms) part(id string) *roomPart { return &x.parts[maphash.String(roomSeed, id)%roomParts] }

// hold finds a room, and reads it if it is not in memory. The caller gives it back with release.
// Errors: errNoRoom, and those of reading.
func (x *rooms) hold(id string) (*room, error) {
	if !validRoom(id) {
		return nil, errNoRoom
	}
	p := x.part(id)
	p.mu.Lock()
	r := p.rooms[id]
	fresh := r == nil
	if fresh {
		r = p.add(id)
	}
	r.users++
	p.mu.Unlock()
	if fresh {
		r.err = x.load(r)
		close(r.ready)
	}
	<-r.ready
	if r.err != nil {
		x.release(r)
		return nil, r.err
	}
	return r, nil
}

// begin makes a room that is being created: other requests for it wait. The caller closes ready.
func (x *rooms) begin(id string) *room {
	p := x.part(id)
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.add(id)
	r.users++
	return r
}

// add makes an entry, and room for it. The caller holds mu.
func (p *roomPart) add(id string) *room {
	if p.rooms == nil {
		p.rooms = make(map[string]*room)
	}
	for other, r := range p.rooms { // in no order
		if len(p.rooms) < idleRooms {
			break
		}
		if r.users == 0 {
			delete(p.rooms, other)
		}
	}
	r := &room{id: id, ready: make(chan struct{}), members: make(map[string]*member), nonces: make(map[string]string), pending: make(map[string]*pending)}
	p.rooms[id] = r
	return r
}

// release gives a room back. One that is gone, or could not be read, is dropped with its last user.
func (x *rooms) release(r *room) {
	r.mu.Lock()
	over := r.gone || r.err != nil
	r.mu.Unlock()
	p := x.part(r.id)
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.users--; r.users == 0 && over && p.rooms[r.id] == r {
		delete(p.rooms, r.id)
	}
}

// drop drops the rooms of which other nodes may know more. It waits for nobody.
func (x *rooms) drop(of func(room string) bool) {
	for i := range x.parts {
		p := &x.parts[i]
		p.mu.Lock()
		for id, r := range p.rooms {
			if of(id) {
				r.lost.Store(true)
				delete(p.rooms, id)
			}
		}
		p.mu.Unlock()
	}
}

// count is how many rooms are in memory.
func (x *rooms) count() int {
	n := 0
	for i := range x.parts {
		p := &x.parts[i]
		p.mu.Lock()
		n += len(p.rooms)
		p.mu.Unlock()
	}
	return n
}
