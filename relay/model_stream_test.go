package relay

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"time"

	"weir/internal/wire"
)

// streamer is a client of the model that follows an event stream.
type streamer struct {
	w      *world
	name   string
	plain  bool // it knows no appends
	link   *modelLink
	lastID string
	views  map[string]*view // of the channels that lastID tells of
}

func newStreamer(w *world, name string) *streamer {
	return &streamer{w: w, name: name, views: make(map[string]*view)}
}

func (f *streamer) channels() []string {
	return append([]string{"user:" + f.name}, modelChannels[:2]...)
}

func (f *streamer) connect() bool {
	request := "GET /sse?channel=" + strings.Join(modelChannels[:2], "&channel=") + featuresOf("&", f.plain) + " HTTP/1.1\r\nHost: model\r\nAuthorization: Bearer TOKEN\r\n"
	if f.lastID != "" {
		request += "Last-Event-ID: " + f.lastID + "\r\n"
	}
	f.link = f.w.dial(f.name, request+"\r\n")
	if f.link == nil {
		return false
	}
	link, body := f.link, bufio.NewReader(f.link.nc)
	resp, err := http.ReadResponse(body, nil)
	if err != nil || resp.StatusCode != 200 {
		f.w.fail("stream of %s: %v %v", f.name, resp, err)
		return false
	}
	go func() { // ends when the connection does, or kill has been called
		defer close(link.in)
		defer link.nc.Close()
		body := bufio.NewReader(resp.Body)
		for {
			var in eventParser
			e, done := sseEvent{}, false
			for !done {
				line, err := body.ReadString('\n')
				if err != nil {
					return
				}
				e, done = in.line(strings.TrimSuffix(line, "\n"))
			}
			if e.name == "closed" { // and the end comes next
				continue
			}
			if !link.put(modelFrame{heardIn(f.w.t, []byte(e.data)), e.id}) {
				_, _ = io.Copy(io.Discard, body)
				return
			}
		}
	}()
	return true
}

// read takes what comes for a while.
func (f *streamer) read(d time.Duration) {
	if f.link == nil {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case e, ok := <-f.link.in:
			if !ok {
				f.link = nil
				return
			}
			f.take(e)
		case <-timer.C:
			return
		}
	}
}

// take enters an event into the views. Its id must then say where they stand, all of them.
func (f *streamer) take(e modelFrame) {
	known := f.views[e.Channel]
	switch e.Type {
	case "connected":
		return
	case "subscribed":
		if *e.Recovered != (known != nil) {
			f.w.fail("stream of %s: at %+v, told %.200s", f.name, known, e.raw)
			return
		}
		if *e.Recovered {
			known.recover(f.w, "stream of "+f.name, nil, e.heard)
			break
		}
		f.views[e.Channel] = &view{plain: f.plain}
		f.views[e.Channel].set(e.heard)
	case "resync":
		if known == nil {
			f.w.fail("stream of %s: told %.200s", f.name, e.raw)
			return
		}
		known.set(e.heard)
	default:
		list := e.unpack()
		for _, one := range list {
			channel := one.Channel
			if one.Type == "update" {
				channel = "user:" + f.name
			}
			if f.views[channel] == nil {
				f.w.fail("stream of %s: change of %s before its answer", f.name, channel)
				return
			}
			f.views[channel].apply(f.w, "stream of "+f.name, channel, nil, one, list[len(list)-1].Seq)
		}
	}
	f.lastID = e.id
	marks, err := wire.ParseCursor([]byte(e.id))
	if err != nil || len(marks) != len(f.views) {
		f.w.fail("stream of %s: id of %.200s is %v %v", f.name, e.raw, marks, err)
	}
	for _, channel := range f.channels() {
		for _, m := range marks {
			if v := f.views[channel]; m.Channel == wire.ChannelHash(channel) && (v == nil || v.at != position{m.Epoch, m.Seq}) {
				f.w.fail("stream of %s: stands in %s at %+v, the id says %v", f.name, channel, v, m)
			}
		}
	}
}

func (f *streamer) act(steps []viewStep) {
	for _, step := range steps {
		if f.link == nil && !f.connect() {
			return
		}
		switch step.op {
		case "kill", "leave", "unsubscribe":
			f.link.kill()
			f.link = nil
		case "block":
			f.link.nc.BlockReads(true)
			time.Sleep(20 * step.pause)
			f.link.nc.BlockReads(false)
		}
		f.read(step.pause)
	}
}

// finish comes back for good and compares.
func (f *streamer) finish(w *world) {
	f.read(0)
	for i := range 4 {
		if i == 3 { // what it has missed in all channels together is more than its queue holds
			f.lastID, f.views = "", make(map[string]*view)
		}
		if f.link == nil && !f.connect() {
			return
		}
		f.read(time.Second)
		if f.link != nil {
			break
		}
	}
	if f.link == nil {
		w.fail("stream of %s: is closed again and again", f.name)
		return
	}
	for _, channel := range f.channels() {
		if f.views[channel] == nil {
			w.fail("stream of %s: nothing of %s", f.name, channel)
			continue
		}
		f.views[channel].agree(w, "stream of "+f.name, channel, nil)
	}
	f.link.kill()
}
