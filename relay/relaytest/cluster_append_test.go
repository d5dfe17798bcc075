package relaytest_test

import (
	"strings"
	"testing"

	"weir/relay/relaytest"
)

// speaker is a backend that puts a text behind an item, piece by piece, by way of any of some nodes. It says where it takes the text to end, and
// goes on where the relay says that it does.
type speaker struct {
	nodes  []*relaytest.Rig
	points []rune
	offset int
	turn   int
}

// speak goes on up to a place.
func (s *speaker) speak(t *testing.T, upto int) {
	t.Helper()
	for s.offset < upto {
		next := min(upto, s.offset+1+s.turn%4)
		g := s.nodes[s.turn%len(s.nodes)]
		s.turn++
		status, out := g.Backend("POST", "/v1/publish", map[string]any{
			"channel": "room:text", "op": "append", "group": "answers", "key": "a7", "data": string(s.points[s.offset:next]), "offset": s.offset,
		})
		switch m := out.(map[string]any); status {
		case 200:
			s.offset = next
		case 409:
			s.offset = int(m["offset"].(float64))
		case 503: // the owner is not reached
		default:
			t.Fatalf("%d %v", status, out)
		}
	}
}

// listener is a client that has the text.
type listener struct {
	*relaytest.Peer
	text         string
	sets, pieces int
}

func listen(g *relaytest.Rig, user, path string) *listener {
	g.Helper()
	l := &listener{Peer: g.WS(user, path)}
	l.Send(relaytest.Message{"type": "subscribe", "channel": "room:text"})
	l.take(l.Until(func(m relaytest.Message) bool { return m["type"] == "subscribed" && m["channel"] == "room:text" }))
	return l
}

// until reads until it has a text.
func (l *listener) until(text string) {
	l.Helper()
	if l.text == text {
		return
	}
	l.Until(func(m relaytest.Message) bool {
		l.take(m)
		return l.text == text
	})
}

func (l *listener) take(m relaytest.Message) {
	list, _ := m["messages"].([]any)
	for _, one := range list {
		l.take(one.(map[string]any))
	}
	if of, ok := m["channel"]; ok && of != "room:text" { // the user's own
		return
	}
	data, _ := m["data"].(string)
	switch m["op"] {
	case "append":
		l.text += data
		l.pieces++
	case "set":
		l.text = data
		l.sets++
	}
	if state, ok := m["state"].(map[string]any); ok {
		l.text = ""
		if answers, ok := state["answers"].(map[string]any); ok {
			l.text = answers["a7"].(string)
		}
	}
}

// A text is appended to by way of nodes that do not own it, while its channel moves, and after its owner is lost. Everybody has all of it in the
// end, once, whether they know appends or not.
func TestAppendAcrossNodes(t *testing.T) {
	n := relaytest.Cluster(t, 3, patient, nil)
	n.Move("room:text", 2)
	s := &speaker{nodes: n.Rigs[:2], points: []rune(strings.Repeat("naïve 🌊 \"text\"\n", 20))}
	part := len(s.points) / 4
	want := func(upto int) string { return string(s.points[:upto]) }
	knows := []*listener{listen(n.Rigs[0], "a", "/ws?features=append"), listen(n.Rigs[1], "b", "/ws?features=append")}
	plain := listen(n.Rigs[1], "c", "/ws")
	all := append(knows, plain)
	catchUp := func(upto int) {
		t.Helper()
		for _, l := range all {
			l.until(want(upto))
		}
	}
	s.speak(t, part)
	catchUp(part)
	for _, l := range knows {
		if l.sets != 0 || l.pieces == 0 {
			t.Errorf("who knows appends got %d sets and %d appends", l.sets, l.pieces)
		}
	}
	if plain.pieces != 0 || plain.sets == 0 {
		t.Errorf("who knows none got %d sets and %d appends", plain.sets, plain.pieces)
	}

	// The channel moves meanwhile, to a node where some listen, and back.
	moved := make(chan struct{})
	go func() {
		defer close(moved)
		n.Move("room:text", 1)
		n.Move("room:text", 2)
	}()
	s.speak(t, 2*part)
	<-moved
	s.speak(t, 3*part)
	catchUp(3 * part)
	late := listen(n.Rigs[0], "d", "/ws?features=append")
	if late.text != want(3*part) {
		t.Errorf("who comes late has %q", late.text)
	}

	// The owner is lost, with what was acknowledged and not seen: the offset says where to go on.
	n.Cut(2)
	all = append(all, late)
	s.speak(t, len(s.points))
	catchUp(len(s.points))
	n.Heal()
	for i, g := range n.Rigs {
		relaytest.Until(t, "all nodes have the text", func() bool {
			status, out := g.Backend("GET", "/v1/channels/room:text/answers/a7", nil)
			m, ok := out.(map[string]any)
			return ok && status == 200 && m["data"] == string(s.points)
		})
		if l := listen(g, "e", "/ws?features=append"); l.text != string(s.points) {
			t.Errorf("who comes to node %d has %q", i, l.text)
		}
	}
}
