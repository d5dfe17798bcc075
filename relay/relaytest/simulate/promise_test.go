package simulate

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
)

// promise is a change of a durable channel that was acknowledged: it stays in the log at its place, whatever
// happens, until the channel is deleted.
type promise struct {
	seq  uint64
	life int // of the channel
	data []byte
}

// promises are those of all durable channels, by number.
type promises struct {
	mu      sync.Mutex
	channel map[int][]promise // guarded by mu
}

func (p *promises) add(channel int, one promise) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.channel == nil {
		p.channel = make(map[int][]promise)
	}
	p.channel[channel] = append(p.channel[channel], one)
}

// keep holds the logs of the durable channels against what was promised. All publishers have ended.
func (w *world) keep(ctx context.Context, api *backend) {
	for n := range w.options.Channels {
		if !w.durable(n) {
			continue
		}
		log, err := w.history(ctx, api, w.channelName(n))
		if err != nil {
			w.story.problem("history of %s: %v", w.channelName(n), err)
			continue
		}
		for _, p := range w.promises.channel[n] {
			data, ok := log[p.seq]
			if p.life == w.lives(n) && (!ok || !bytes.Equal(data, p.data)) {
				w.story.problem("%s has lost what was acknowledged at %d: %.80s, it has %.80s among %d", w.channelName(n), p.seq, p.data, data, len(log))
				break // what follows is lost too, as a rule
			}
		}
	}
}

// history is the whole log of a channel, by seq.
func (w *world) history(ctx context.Context, api *backend, channel string) (map[uint64]json.RawMessage, error) {
	log := make(map[uint64]json.RawMessage)
	for before := ""; ; {
		status, body, err := api.ask(ctx, "GET", "/v1/channels/"+channel+"/history?features=append&limit=1000"+before)
		if err == nil && status == http.StatusNotFound {
			return log, nil
		}
		var page struct {
			Changes []message `json:"changes"`
			More    bool      `json:"more"`
		}
		if err == nil {
			err = json.Unmarshal(body, &page)
		}
		if err != nil {
			return nil, err
		}
		for _, m := range page.Changes {
			log[m.Seq] = m.Data
		}
		if !page.More || len(page.Changes) == 0 {
			return log, nil
		}
		before = fmt.Sprint("&before=", page.Changes[0].Seq)
	}
}
