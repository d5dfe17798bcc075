package relay

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"weir/internal/memnet"
	"weir/internal/wire"
)

// modelLink is the connection of a client of the model: a goroutine reads what comes, so that the client's
// own can wait for that or for something else.
type modelLink struct {
	nc   *memnet.Conn
	in   chan modelFrame // closed at the end
	gone chan struct{}   // closed by the client when it does not care any more

	writing sync.Mutex // commands and pongs
}

// modelFrame is one frame or event.
type modelFrame struct {
	heard
	id string // of an event
}

func (w *world) dial(user, request string) *modelLink {
	w.mu.Lock()
	if w.tokens[user] == "" {
		w.tokens[user] = mint(w.t, user)
	}
	token := w.tokens[user]
	w.mu.Unlock()
	nc, err := w.ln.Dial(context.Background())
	if err != nil {
		w.fail("%v", err)
		return nil
	}
	link := &modelLink{nc: nc, in: make(chan modelFrame), gone: make(chan struct{})}
	link.write([]byte(strings.Replace(request, "TOKEN", token, 1)))
	return link
}

func (l *modelLink) write(b []byte) {
	l.writing.Lock()
	defer l.writing.Unlock()
	_, _ = l.nc.Write(b) // if it fails the reader finds out
}

// put hands a frame to the client. It answers false if nobody wants it.
func (l *modelLink) put(f modelFrame) bool {
	select {
	case l.in <- f:
		return true
	case <-l.gone:
		return false
	}
}

// kill breaks the connection off. What came and was not looked at is lost.
func (l *modelLink) kill() {
	close(l.gone)
	_ = l.nc.Close()
	for range l.in { // until the reader has ended
	}
}

// viewer is a WebSocket client of the model.
type viewer struct {
	w       *world
	name    string
	groups  []string // of every subscription; nil: all
	plain   bool     // it knows no appends
	link    *modelLink
	views   map[string]*view
	follows map[string]bool // in this connection, answered
	ids     int
}

func newViewer(w *world, name string) *viewer {
	return &viewer{w: w, name: name, views: make(map[string]*view)}
}

// featuresOf is what the address of a client says of appends.
func featuresOf(before string, plain bool) string {
	if plain {
		return ""
	}
	return before + "features=append"
}

// own is the client's own channel.
func (v *viewer) own() string { return "user:" + v.name }

// connect opens a connection and follows the own channel from where it was.
func (v *viewer) connect(resume bool) bool {
	v.link = v.w.dial(v.name, upgrade("model", "/ws"+featuresOf("?", v.plain), "Authorization: Bearer TOKEN"))
	if v.link == nil {
		return false
	}
	v.follows = make(map[string]bool)
	link, peer := v.link, newPeer(v.w.t, v.link.nc)
	a, err := readAnswer(peer.r)
	if err != nil || a.StatusCode != http.StatusSwitchingProtocols {
		v.w.fail("%s: handshake: %v %v", v.name, a.Response, err)
		v.link = nil
		return false
	}
	go func() { // ends when the connection does, or kill has been called
		defer close(link.in)
		for {
			first, payload, err := peer.frame()
			switch {
			case err != nil || first&0x0f == wire.OpClose:
				_ = link.nc.Close()
				return
			case first&0x0f == wire.OpPing:
				link.write(clientFrame(fin|wire.OpPong, payload))
			case first&0x0f == wire.OpText && !link.put(modelFrame{heard: heardIn(v.w.t, payload)}):
				return
			}
		}
	}()
	hello, ok := <-link.in
	if !ok || hello.Type != "connected" {
		v.w.fail("%s: first message %s", v.name, hello.raw)
		return false
	}
	v.subscribe(v.own(), resume)
	return true
}

// read takes what comes until a reply to id, or for a while if there is no id.
func (v *viewer) read(id string, d time.Duration) (heard, bool) {
	if v.link == nil {
		return heard{}, false
	}
	if id != "" {
		d = time.Hour
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case f, ok := <-v.link.in:
			if !ok {
				v.link = nil
				return heard{}, false
			}
			if v.take(f.heard); id != "" && string(f.ID) == id {
				return f.heard, true
			}
		case <-timer.C:
			if id != "" {
				v.w.fail("%s: no answer to %s", v.name, id)
			}
			return heard{}, false
		}
	}
}

// take enters what is no reply into the views.
func (v *viewer) take(h heard) {
	switch h.Type {
	case "resync":
		if v.follows[h.Channel] {
			v.views[h.Channel].set(h)
		} else if h.Channel != v.own() {
			v.w.fail("%s: resync of %s, which it does not follow", v.name, h.Channel)
		}
		return
	case "batch", "update", "channel_update":
	default:
		return
	}
	list := h.unpack()
	for _, one := range list {
		channel := one.Channel
		if one.Type == "update" {
			channel = v.own()
		}
		if v.follows[channel] {
			v.views[channel].apply(v.w, v.name, channel, v.groupsOf(channel), one, list[len(list)-1].Seq)
		} else if channel != v.own() { // that is followed from the start, and counts from the answer on
			v.w.fail("%s: change %d of %s, which it does not follow", v.name, one.Seq, channel)
		}
	}
}

func (v *viewer) groupsOf(channel string) []string {
	if channel == v.own() {
		return nil // the relay subscribed it, to everything
	}
	return v.groups
}

// ask sends a command and reads up to its answer.
func (v *viewer) ask(format string, args ...any) (heard, bool) {
	if v.link == nil {
		return heard{}, false
	}
	v.ids++
	id := fmt.Sprint(v.ids)
	v.link.write(textFrame(fmt.Sprintf(`{"id":`+id+`,`+format+`}`, args...)))
	return v.read(id, 0)
}

func (v *viewer) subscribe(channel string, resume bool) {
	known := v.views[channel]
	resume = resume && known != nil
	more := ""
	if resume {
		more = `,"position":` + known.at.json()
	}
	if v.groups != nil {
		more += `,"groups":["` + strings.Join(v.groups, `","`) + `"]`
	}
	again := v.follows[channel]
	h, ok := v.ask(`"type":"subscribe","channel":"%s"%s`, channel, more)
	if !ok {
		return
	}
	v.subscribed(h, resume, again)
}

// subscribed takes an answer.
func (v *viewer) subscribed(h heard, resume, again bool) {
	groups := v.groupsOf(h.Channel)
	known := v.views[h.Channel]
	switch {
	case h.Type != "subscribed" || h.Recovered == nil || *h.Recovered && !resume || h.Lost != (resume && !*h.Recovered):
		v.w.fail("%s: subscribe answered %.200s", v.name, h.raw)
		return
	case again: // tells of where it stands already
		if groups == nil && h.Position != known.at {
			v.w.fail("%s: subscribed to %s again at %v, stands at %v", v.name, h.Channel, h.Position, known.at)
		}
		return
	case *h.Recovered:
		known.recover(v.w, v.name, groups, h)
	default:
		v.views[h.Channel] = &view{plain: v.plain}
		v.views[h.Channel].set(h)
	}
	v.follows[h.Channel] = true
}

func (v *viewer) act(steps []viewStep) {
	for _, step := range steps {
		if v.link == nil && !v.connect(step.resume) {
			continue
		}
		switch step.op {
		case "subscribe":
			v.subscribe(step.channel, step.resume && !v.follows[step.channel])
		case "again":
			if v.follows[step.channel] {
				v.subscribe(step.channel, step.resume)
			}
		case "unsubscribe":
			if v.follows[step.channel] {
				owed := v.w.accepted(step.channel)
				h, ok := v.ask(`"type":"unsubscribe","channel":"%s"`, step.channel)
				if ok && h.Type != "ok" {
					v.w.fail("%s: unsubscribe answered %s", v.name, h.raw)
				}
				if at := v.views[step.channel].at; ok && v.w.buffer == 0 && v.groups == nil && at.Epoch == owed.Epoch && at.Seq < owed.Seq {
					v.w.fail("%s: left %s at %v, %v had been accepted", v.name, step.channel, at, owed)
				}
				delete(v.follows, step.channel)
			}
		case "swap":
			v.swap(step.channel, step.resume)
		case "leave":
			v.link.write(clientFrame(fin|wire.OpClose, []byte{0x03, 0xe8}))
			v.read("", time.Second)
			v.kill()
		case "kill":
			v.kill()
		case "block": // it does not read for a while
			v.link.nc.BlockReads(true)
			time.Sleep(20 * step.pause)
			if v.link != nil {
				v.link.nc.BlockReads(false)
			}
		}
		v.read("", step.pause)
	}
}

// swap unsubscribes and subscribes at once.
func (v *viewer) swap(channel string, resume bool) {
	if !v.follows[channel] || v.groups != nil {
		return
	}
	more := ""
	v.ids += 2
	out, in := fmt.Sprint(v.ids-1), fmt.Sprint(v.ids)
	if resume { // from before what is on its way: some of that is told twice
		more = `,"position":` + v.views[channel].at.json()
	}
	from := v.views[channel].at
	v.link.write(textFrame(fmt.Sprintf(`[{"type":"unsubscribe","id":%s,"channel":"%s"},{"type":"subscribe","id":%s,"channel":"%s"%s}]`, out, channel, in, channel, more)))
	if h, ok := v.read(out, 0); !ok || h.Type != "ok" {
		return
	}
	delete(v.follows, channel)
	reached := v.views[channel].at
	if h, ok := v.read(in, 0); ok {
		if h.Recovered != nil && *h.Recovered {
			if reached.Seq > h.Position.Seq {
				v.w.fail("%s: told of %v, subscribed at %v", v.name, reached, h.Position)
			}
			v.views[channel].at = from
		}
		v.subscribed(h, resume, false)
	}
}

func (v *viewer) kill() {
	if v.link != nil {
		v.link.kill()
		v.link = nil
	}
}

// finish comes back for good and compares.
func (v *viewer) finish(w *world) {
	v.read("", 0)
	for range 3 { // one who was too slow is told so when it reads
		if v.link == nil && !v.connect(true) {
			return
		}
		for _, channel := range modelChannels[:2] {
			if v.follows != nil && !v.follows[channel] {
				v.subscribe(channel, true)
			}
		}
		v.read("", time.Second)
		if v.link != nil {
			break
		}
	}
	if v.link == nil {
		w.fail("%s: is closed again and again", v.name)
		return
	}
	for channel := range v.follows {
		v.views[channel].agree(w, v.name, channel, v.groupsOf(channel))
	}
	v.kill()
}
