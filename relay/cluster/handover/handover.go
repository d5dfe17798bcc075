package handover

import (
	"strings"
	"sync"
	"time"

	"weir/broker"
	"weir/relay/cluster/link"
)

const (
	pieceBytes  = 256 << 10        // of channels, about
	forgetAfter = 10 * time.Second // what was not claimed
)

// Channel is a channel that is handed over.
type Channel struct {
	Name string
	Kept broker.Kept
	Tap  broker.Tap // of who followed it here; nil: nobody, or it has come from another process
	Held bool       // the next owner follows it: it has all that was told before, and is told where it stands
}

// Head names a partition, and the owner that hands it over.
type Head struct {
	From      string // session
	Partition int
	Term      uint64
}

// Pieces cuts what is handed over into messages, and calls f with each, which returns what Inbox.Take of its process does, until it returns an error, which Pieces returns.
func Pieces(h Head, list []Channel, f func(body []byte) (missing []byte, err error)) error {
	number := uint64(0)
	send := func(last bool, whole, held int, channels link.Writer) ([]byte, error) {
		var w link.Writer
		w.Text(h.From)
		w.Uint(uint64(h.Partition))
		w.Uint(h.Term)
		w.Uint(number)
		w.Bool(last)
		w.Uint(uint64(whole))
		if held > 0 { // versions before this send none
			w.Uint(uint64(held))
		}
		number++
		return f(append(w, channels...))
	}
	list, done, err := heldPieces(list, func(n int, last bool, channels link.Writer) ([]byte, error) { return send(last, 0, n, channels) })
	if err != nil {
		return err
	}
	for last := done; !last; {
		var channels link.Writer
		n := 0
		for n < len(list) && len(channels) < pieceBytes {
			channels.Text(list[n].Name)
			channels.Kept(&list[n].Kept)
			n++
		}
		last = n == len(list)
		list = list[n:]
		if _, err := send(last, n, 0, channels); err != nil {
			return err
		}
	}
	return nil
}

// heldPieces sends where the channels stand that the process is taken to have already, and returns those that are to be sent whole. done: there are none, and the last piece says so.
func heldPieces(list []Channel, send func(n int, last bool, channels link.Writer) ([]byte, error)) (rest []Channel, done bool, err error) {
	sent := make(map[string]*Channel)
	var channels link.Writer
	flush := func(last bool) error {
		last = last && len(rest) == 0
		missing, err := send(len(sent), last, channels)
		for r := (&link.Reader{Rest: missing}); len(r.Rest) > 0; {
			if one := sent[r.Text()]; one != nil {
				rest = append(rest, *one)
			}
		}
		done = last && len(rest) == 0
		clear(sent)
		channels = nil
		return err
	}
	for i := range list {
		one := &list[i]
		if !one.Held {
			rest = append(rest, *one)
			continue
		}
		if len(channels) >= pieceBytes {
			if err := flush(false); err != nil {
				return nil, false, err
			}
		}
		sent[one.Name] = one
		channels.Text(one.Name)
		channels.Kept(&broker.Kept{Position: one.Kept.Position, Keys: one.Kept.Keys, Read: one.Kept.Read}) // some keys are of what changed nothing, of which no follower has heard
	}
	if len(sent) > 0 {
		err = flush(true)
	}
	return rest, done, err
}

// Inbox has what other processes have handed over and this process does not own yet. Its zero value is empty.
type Inbox struct {
	mu   sync.Mutex
	list map[int]*handed // by partition; guarded by mu
}

type handed struct {
	head     Head
	pieces   uint64 // that have come
	whole    bool
	channels []Channel
	since    time.Time
}

// Take adds a piece. export returns what this process has of a channel. ok reports whether the piece is of use: all pieces before it have come; missing is the names of the channels that
// are to be sent whole. It returns an error for a piece that cannot be read.
func (i *Inbox) Take(body []byte, partitions int, now time.Time, export func(channel string) (broker.Kept, error)) (missing []byte, ok bool, err error) {
	r := &link.Reader{Rest: body}
	from, p, term, number, last, n := r.Text(), r.Uint(), r.Uint(), r.Uint(), r.Bool(), r.Count()
	if r.Err != nil || p >= uint64(partitions) {
		return nil, false, link.ErrRecord
	}
	var list []Channel
	for range n {
		list = append(list, Channel{Name: r.Text(), Kept: r.Kept()})
	}
	var names link.Writer
	if len(r.Rest) > 0 {
		for range r.Count() {
			name, k := r.Text(), r.Kept()
			have, err := export(name)
			if err != nil || have.Position != k.Position {
				names.Text(name)
				continue
			}
			have.Keys = k.Keys
			list = append(list, Channel{Name: strings.Clone(name), Kept: have})
		}
	}
	if r.Err != nil {
		return nil, false, r.Err
	}
	head := Head{From: from, Partition: int(p), Term: term}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.list == nil {
		i.list = make(map[int]*handed)
	}
	h := i.list[head.Partition]
	if number == 0 {
		h = &handed{head: head, since: now}
		i.list[head.Partition] = h
	}
	if h == nil || h.head != head || h.pieces != number {
		return nil, false, nil
	}
	h.pieces, h.whole, h.channels = number+1, last && len(names) == 0, append(h.channels, list...)
	return names, true, nil
}

// Claim removes and returns the channels of a partition that have come. ok reports whether these are all that the former owner had.
func (i *Inbox) Claim(head Head) (list []Channel, ok bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	h := i.list[head.Partition]
	delete(i.list, head.Partition)
	if h == nil || !h.whole || h.head != head {
		return nil, false
	}
	return h.channels, true
}

// Tidy drops what was not claimed for 10 seconds.
func (i *Inbox) Tidy(now time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for p, h := range i.list {
		if now.Sub(h.since) > forgetAfter {
			delete(i.list, p)
		}
	}
}
