package yjs

import (
	"encoding/binary"
	"encoding/json"
)

// Types of messages of y-websocket.
const (
	Sync           = 0
	Awareness      = 1
	Auth           = 2
	QueryAwareness = 3
)

// Steps of Sync: a state vector, what its owner lacks, and an update.
const (
	Step1 = 0
	Step2 = 1
	Step3 = 2
)

// Message is one message. Body aliases what was parsed.
type Message struct {
	Type, Step uint64
	Body       []byte // state vector, update, or what Awareness holds
}

// ParseMessage reads a message. Errors: ErrForm.
func ParseMessage(b []byte) (m Message, err error) {
	r := &reader{b: b}
	m.Type = r.number()
	switch m.Type {
	case Sync:
		if m.Step = r.number(); m.Step > Step3 {
			r.fail()
		}
		m.Body = r.bytes()
	case Awareness:
		m.Body = r.bytes()
	case QueryAwareness:
	default:
		r.fail()
	}
	if r.bad || r.at != len(b) {
		return m, ErrForm
	}
	return m, nil
}

// AppendSync appends a message of Sync.
func AppendSync(b []byte, step byte, body []byte) []byte {
	b = binary.AppendUvarint(append(b, Sync, step), uint64(len(body)))
	return append(b, body...)
}

// AppendDenied appends the message that refuses access.
func AppendDenied(b []byte, reason string) []byte {
	b = binary.AppendUvarint(append(b, Auth, 0), uint64(len(reason)))
	return append(b, reason...)
}

// Presence is the awareness state of a client.
type Presence struct {
	Client uint64
	Clock  uint64
	State  []byte // JSON; "null": it is gone
}

// Gone reports whether the client is gone.
func (p Presence) Gone() bool { return string(p.State) == "null" }

// ParseAwareness reads what an Awareness message holds. States alias b. Errors: ErrForm.
func ParseAwareness(b []byte) ([]Presence, error) {
	r := &reader{b: b}
	n := r.count(3)
	list := make([]Presence, 0, n)
	for range n {
		p := Presence{Client: r.number(), Clock: r.number(), State: r.text()}
		if !json.Valid(p.State) {
			r.fail()
		}
		list = append(list, p)
	}
	if r.bad || r.at != len(b) {
		return nil, ErrForm
	}
	return list, nil
}

// AppendAwareness appends an Awareness message.
func AppendAwareness(b []byte, list []Presence) []byte {
	body := binary.AppendUvarint(nil, uint64(len(list)))
	for _, p := range list {
		body = binary.AppendUvarint(binary.AppendUvarint(body, p.Client), p.Clock)
		body = append(binary.AppendUvarint(body, uint64(len(p.State))), p.State...)
	}
	b = binary.AppendUvarint(append(b, Awareness), uint64(len(body)))
	return append(b, body...)
}
