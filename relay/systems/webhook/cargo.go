package webhook

import (
	"crypto/sha256"
	"encoding/hex"
)

// mostCargo bounds the bytes of a request with several events. One event may be larger.
const mostCargo = 256 << 10

// cargo is the lanes whose first events leave in one request: as many as they have loaded.
type cargo []*lane

// load takes the next lanes from those that are ready, as many as fit into one request, each with at least one event.
// The caller holds mu.
func (p *endpoint) load() (c cargo) {
	room, bytes := max(p.config.Batch, 1), 0
	for len(p.ready) > 0 && room > 0 {
		l := p.ready[0]
		if len(c) > 0 && (l.alone > 0 || bytes+len(l.events[0].body) > mostCargo) {
			break
		}
		p.ready[0] = nil
		p.ready = p.ready[1:]
		if l.loaded = 0; l.alone > 0 {
			room = 1
		}
		for _, e := range l.events {
			if room == 0 || l.loaded > 0 && bytes+len(e.body) > mostCargo {
				break
			}
			bytes += len(e.body)
			l.loaded++
			room--
		}
		c = append(c, l)
	}
	return c
}

// pack makes one body of several events, and an id for just these: a receiver that knows it has seen all of them.
func pack(list []*event) (id string, body []byte) {
	sum := sha256.New()
	body = append(body, '[')
	for i, e := range list {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, e.body...)
		sum.Write([]byte(e.id))
	}
	return "msg_" + hex.EncodeToString(sum.Sum(nil)[:16]), append(body, ']')
}
