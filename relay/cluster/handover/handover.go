package handover

import (
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
}

// Head names a partition, and the owner that hands it over.
type Head struct {
	From      string // session
	Partition int
	Term      uint64
}

// Pieces cuts what is handed over into messages, and calls f with each until it returns an error, which Pieces returns.
func Pieces(h Head, list []Channel, f func(body []byte) error) error {
	for number, last := uint64(0), false; !last; number++ {
		var channels, w link.Writer
		n := 0
		for n < len(list) && len(channels) < pieceBytes {
			channels.Text(list[n].Name)
			channels.Kept(&list[n].Kept)
			n++
		}
		last = n == len(list)
		list = list[n:]
		w.Text(h.From)
		w.Uint(uint64(h.Partition))
		w.Uint(h.Term)
		w.Uint(number)
		w.Bool(last)
		w.Uint(uint64(n))
		if err := f(append(w, channels...)); err != nil {
			return err
		}
	}
	return nil
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

// Take adds a piece. ok reports whether it is of use: all pieces before it have come. It returns an error for a piece that cannot be read.
func (i *Inbox) Take(body []byte, partitions int, now time.Time) (ok bool, err error) {
	r := &link.Reader{Rest: body}
	from, p, term, number, last, n := r.Text(), r.Uint(), r.Uint(), r.Uint(), r.Bool(), r.Count()
	if r.Err != nil || p >= uint64(partitions) {
		return false, link.ErrRecord
	}
	var list []Channel
	for range n {
		list = append(list, Channel{Name: r.Text(), Kept: r.Kept()})
	}
	if r.Err != nil {
		return false, r.Err
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
		return false, nil
	}
	h.pieces, h.whole, h.channels = number+1, last, append(h.channels, list...)
	return true, nil
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
