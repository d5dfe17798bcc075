package broker

import (
	"maps"
	"slices"
	"strings"
)

// keys are the idempotency keys that a channel has seen lately, oldest first. Guarded by the channel's
// mu.
type keys struct {
	seqs  map[string]uint64 // position of the first publication with the key
	order []seen
	head  int // place of the oldest in order
}

// seen is a key and when it came.
type seen struct {
	key string
	at  int64
}

// find returns the position that came with a key. It may be called on nil.
func (k *keys) find(key string) (seq uint64, ok bool) {
	if k == nil {
		return 0, false
	}
	seq, ok = k.seqs[key]
	return seq, ok
}

func (k *keys) oldest() int64 { return k.order[k.head].at }

func (k *keys) pop() {
	delete(k.seqs, k.order[k.head].key)
	k.order[k.head] = seen{}
	k.head++
	if k.head*2 > len(k.order) && k.head >= 16 {
		rest := copy(k.order, k.order[k.head:])
		clear(k.order[rest:])
		k.order, k.head = k.order[:rest], 0
	}
}

// remember keeps a key with the current position. An empty key is none.
func (c *Channel) remember(now int64, key string) {
	if key == "" {
		return
	}
	if c.keys == nil {
		c.keys = &keys{seqs: make(map[string]uint64)}
	}
	k := c.keys
	if _, known := k.seqs[key]; known {
		return // a journal that applies later was given it twice: the first position counts
	}
	if most := c.policy.IdempotencyKeys; most > 0 && len(k.seqs) >= most {
		k.pop()
	}
	key = strings.Clone(key)
	k.seqs[key] = c.seq
	k.order = append(k.order, seen{key, now})
	if c.log == nil {
		c.log = newChanges(c)
	}
	c.wakeBy(later(now, c.policy.Idempotency))
}

// forgetAhead forgets the keys of what was deferred and is not applied: with who has the channel now they may have another position, or none. Called with the lock held.
func (c *Channel) forgetAhead() {
	k := c.keys
	if k == nil || !c.ahead() {
		return
	}
	k.order = slices.DeleteFunc(k.order[k.head:], func(s seen) bool { return k.seqs[s.key] > c.seq })
	k.head = 0
	maps.DeleteFunc(k.seqs, func(_ string, seq uint64) bool { return seq > c.seq })
	if len(k.seqs) == 0 {
		c.keys = nil
	}
}

func (c *Channel) trimKeys(now int64) {
	k, age := c.keys, int64(c.policy.Idempotency)
	if k == nil {
		return
	}
	for len(k.seqs) > 0 && now-k.oldest() >= age {
		k.pop()
	}
	if len(k.seqs) == 0 {
		c.keys = nil
	}
}
