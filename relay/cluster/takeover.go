package cluster

import (
	"encoding/json"
	"errors"
	"log/slog"
	"strconv"
	"time"

	"weir/broker"
	"weir/internal/pause"
	"weir/relay/cluster/link"
)

// The calls of the cluster itself.
const (
	callStandings = "standings" // body: a partition
	callExport    = "export"    // body: a channel
	callCome      = "come"      // no body: what was sent before has come
	callNotice    = "notice"    // body: noticeMessage
	callNotices   = "notices"   // body: notices.Query
	callShared    = "shared"    // no body: what the process shares with the others
	callTable     = "table"     // no body: the rows of the table that the process knows
)

// own are the handlers of the cluster's own calls.
func (c *Cluster) own() map[string]Handler {
	return map[string]Handler{
		callStandings: func(body []byte) ([]byte, error) {
			p, err := strconv.Atoi(string(body))
			if err != nil {
				return nil, err
			}
			return json.Marshal(c.standings(p))
		},
		callShared: func([]byte) ([]byte, error) { return json.Marshal(c.config.Shared) },
		callHand:   c.taken,
		callTable:  c.tableRows,
		callCome:   func([]byte) ([]byte, error) { return nil, nil },
		callMove:   c.moved,
		callExport: func(body []byte) ([]byte, error) {
			k, err := c.broker.Export(string(body))
			if err != nil {
				return nil, broker.ErrNoChannel // or it is none that was in memory when that was asked
			}
			var w link.Writer
			w.Kept(&k)
			return w, nil
		},
	}
}

// standings are the replicas of a partition that have been filled.
func (c *Cluster) standings(p int) []link.Standing {
	var list []link.Standing
	var replicas []*replica
	c.mu.Lock()
	for _, r := range c.replicas {
		if r.partition == p && r.loaded {
			replicas = append(replicas, r)
			list = append(list, link.Standing{Channel: r.channel, Term: r.term})
		}
	}
	c.mu.Unlock()
	for i := range list {
		var at broker.Position
		_ = c.filling(replicas[i], func() (err error) {
			at, err = c.broker.At(list[i].Channel)
			return err
		})
		list[i].Epoch, list[i].Seq = at.Epoch, at.Seq
	}
	return list
}

// open takes over the channels of a partition: what any process has of them goes on, in epochs of its own.
func (c *Cluster) open(p int, o, before *owner) {
	begun := time.Now()
	if o.From != "" && c.install(p, o, before) {
		if c.owners[p].Load() != o {
			c.lose(p, false)
			return
		}
		c.opened(p, o)
		return
	}
	answers := c.standingsElsewhere(p)
	best, from := make(map[string]link.Standing), make(map[string]string) // by channel; from "": this process
	for _, s := range c.standings(p) {
		if !c.kept.Keeps(s.Channel) { // what is stored is loaded
			best[s.Channel] = s
		}
	}
	for node, b := range answers {
		var list []link.Standing
		if json.Unmarshal(b, &list) != nil {
			continue
		}
		for _, s := range list {
			if have, ok := best[s.Channel]; s.Epoch != "" && !c.kept.Keeps(s.Channel) && (!ok || s.Newer(have)) {
				best[s.Channel], from[s.Channel] = s, node
			}
		}
	}
	for channel := range best {
		if c.owners[p].Load() != o {
			return // somebody else has taken it over already
		}
		if node := from[channel]; node != "" {
			c.rescue(node, channel)
		}
		c.mu.Lock()
		r := c.replicas[channel]
		c.mu.Unlock()
		_ = c.filling(r, func() error { return c.broker.Promote(channel) })
		if c.owners[p].Load() != o { // since a moment ago: what was promoted is to be followed
			c.lose(p, false)
			return
		}
		c.mu.Lock()
		if r := c.replicas[channel]; r != nil && r.loaded {
			c.drop(r)
		}
		c.mu.Unlock()
		c.counts.rescued.Add(1)
	}
	c.opened(p, o)
	c.counts.takeovers.Add(1)
	c.config.Log.Info("partition taken over", slog.Int("partition", p), slog.Uint64("term", o.term), slog.Int("channels", len(best)), slog.Duration("took", time.Since(begun)))
}

// standingsElsewhere asks all others what they have of a partition. It waits for those that are there: what they have and do not tell in time would be lost,
// though it is not.
func (c *Cluster) standingsElsewhere(p int) map[string][]byte {
	asked := make(map[*member]*request)
	body := []byte(strconv.Itoa(p))
	now := time.Now()
	c.mu.Lock()
	for _, m := range c.members {
		if c.alive(m.session, now) {
			asked[m] = c.call(m, callStandings, body)
		}
	}
	c.mu.Unlock()
	answers := make(map[string][]byte)
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for m, q := range asked {
		for waiting := true; waiting; {
			select {
			case <-q.Done(): // the clock ends it when it takes too long
				if waiting = false; q.Err == nil {
					answers[m.node] = q.Body
				}
			case <-ticker.C:
				c.mu.Lock()
				waiting = c.alive(m.session, time.Now())
				c.mu.Unlock()
			case <-c.context.Done():
				return answers
			}
		}
	}
	return answers
}

// rescue has a channel be here as another process has it.
func (c *Cluster) rescue(node, channel string) {
	k, err := c.export(node, channel)
	if err != nil && !errors.Is(err, broker.ErrNoChannel) { // it may have been busy
		k, err = c.export(node, channel)
	}
	for err == nil {
		c.arrived(channel, k)
		if err = c.broker.Refill(channel, k); err == nil {
			err = c.broker.Adopt(channel, k)
		}
		if !errors.Is(err, broker.ErrNotLoaded) {
			break
		}
		err = pause.For(c.context, time.Millisecond)
	}
	if err != nil {
		c.config.Log.Warn("a channel was not taken over", slog.String("channel", channel), slog.String("node", node), slog.String("error", err.Error()))
	}
}

// arrived gives what has come of a channel to who waits for it as a follower: the owner is this process by now, which would wait for that in turn before it serves.
func (c *Cluster) arrived(channel string, k *broker.Kept) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.replicas[channel]; r != nil && !r.loaded {
		delete(c.follows, r.id)
		r.loaded, r.epoch = true, k.Position.Epoch
		r.first <- firstKept{kept: *k, existed: true}
	}
}

// opened has this process serve a partition, if it still owns it.
func (c *Cluster) opened(p int, o *owner) {
	open := *o
	open.open = true
	c.owners[p].CompareAndSwap(o, &open)
	c.mu.Lock()
	c.flush(p)
	for _, r := range c.replicas {
		if r.partition == p {
			c.place(r)
		}
	}
	c.mu.Unlock()
	c.parts.Open(p)
	c.kept.Wake()
}

// export asks a node for what it has of a channel.
func (c *Cluster) export(node, channel string) (*broker.Kept, error) {
	body, err := c.CallNode(c.context, node, callExport, []byte(channel))
	if err != nil {
		return nil, err
	}
	r := &link.Reader{Rest: body}
	k := r.Kept()
	return &k, r.Err
}
