package typing

import (
	"hash/maphash"
	"sync"
	"time"

	"weir/internal/contain"
)

// Order is what a user does in a room.
type Order struct {
	Room       string `json:"room"`
	User       string `json:"user"`
	Connection string `json:"connection,omitempty"`
	Stop       bool   `json:"stop,omitempty"`
	Closed     bool   `json:"closed,omitempty"` // the connection has ended
}

const (
	waits     = 256 // orders of one lane
	manyRooms = 32  // of one connection, beyond which those are forgotten that have ended by their time
)

// Away is what clients of this node do in rooms of others.
type Away struct {
	// Set before it is used.
	Send    func(o *Order)
	Contain contain.Hook

	work  sync.WaitGroup // a goroutine for each lane with orders; they end when there are none
	lanes [shards]lane
}

// lane is the orders of some users.
type lane struct {
	// Guarded by mu, a leaf.
	mu      sync.Mutex
	orders  []Order
	busy    bool                            // a goroutine sends them
	started map[string]map[string]time.Time // when a connection has last started to type, by room
}

func (a *Away) of(user string) *lane {
	return &a.lanes[maphash.String(seed, user)%shards]
}

// Add sends an order after those before it. Too many are dropped.
func (a *Away) Add(o Order) {
	l := a.of(o.User)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch rooms := l.started[o.Connection]; {
	case o.Connection == "": // a backend
	case o.Stop:
		delete(rooms, o.Room)
	default:
		if rooms == nil {
			rooms = make(map[string]time.Time)
			if l.started == nil {
				l.started = make(map[string]map[string]time.Time)
			}
			l.started[o.Connection] = rooms
		}
		now := time.Now()
		rooms[o.Room] = now
		if len(rooms) > manyRooms {
			for room, at := range rooms {
				if now.Sub(at) > lasts {
					delete(rooms, room)
				}
			}
		}
	}
	a.put(l, o)
}

// put queues an order. The caller holds mu.
func (a *Away) put(l *lane, o Order) {
	if len(l.orders) >= waits {
		return
	}
	l.orders = append(l.orders, o)
	if !l.busy {
		l.busy = true
		a.Contain.Go(&a.work, "typing", func() { a.run(l) }, func() { l.stop() }) // ends when there are no orders; Close waits for it
	}
}

func (l *lane) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.busy = false
}

func (a *Away) run(l *lane) {
	for {
		l.mu.Lock()
		if len(l.orders) == 0 {
			l.busy = false
			l.mu.Unlock()
			return
		}
		o := l.orders[0]
		l.orders = l.orders[1:]
		l.mu.Unlock()
		a.Send(&o)
	}
}

// Disconnected is called when a connection has ended: what it has started is stopped.
func (a *Away) Disconnected(user, connection string) {
	l := a.of(user)
	l.mu.Lock()
	defer l.mu.Unlock()
	for room := range l.started[connection] {
		a.put(l, Order{Room: room, User: user, Connection: connection, Closed: true})
	}
	delete(l.started, connection)
}

// Close waits for what is on its way.
func (a *Away) Close() { a.work.Wait() }
