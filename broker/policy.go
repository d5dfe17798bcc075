package broker

import "time"

// Policy bounds what a channel keeps. The zero value of a field means its default.
type Policy struct {
	History      int           // changes kept in the log; 256. Negative: none, so that no reader can resume
	HistoryTTL   time.Duration // how long they are kept; 10m. Negative: no limit
	HistoryBytes int           // bytes of encoded changes kept in the log; 1 MiB. Negative: no limit
	ResumeBytes  int           // encoded changes in one resume, above which a snapshot is sent instead; 512 KiB. Negative: no limit

	Items      int // live items; 10000. Negative: no limit
	StateBytes int // groups, keys and data of the live items; 16 MiB. Negative: no limit
	ItemBytes  int // data of an item that appends grow; 16 MiB. Negative: no limit

	Idempotency     time.Duration // how long idempotency keys are known; 5m. Negative: they are ignored
	IdempotencyKeys int           // keys known at once, the oldest is forgotten first; 4096. Negative: no limit

	Durable   bool // the channel lives in Config.Store, if there is one
	AfterDisk bool // of a Durable one: readers get a change when it is safe, not before

	Awaited bool // readers may wait for the channel to be made: see Config.Awaiting. Not for what is Durable or owned elsewhere
}

// The defaults of Policy.
const (
	defaultHistory         = 256
	defaultHistoryTTL      = 10 * time.Minute
	defaultHistoryBytes    = 1 << 20
	defaultResumeBytes     = 512 << 10
	defaultItems           = 10000
	defaultStateBytes      = 16 << 20
	defaultItemBytes       = 16 << 20
	defaultIdempotency     = 5 * time.Minute
	defaultIdempotencyKeys = 4096
)

// Resolved returns the policy as the broker applies it: with defaults in place of zero values, after which
// a History of 0 is none, an Idempotency of 0 is off, and every other limit of 0 is no limit.
func (p Policy) Resolved() Policy {
	return Policy{
		History:         limit(p.History, defaultHistory),
		HistoryTTL:      limit(p.HistoryTTL, defaultHistoryTTL),
		HistoryBytes:    limit(p.HistoryBytes, defaultHistoryBytes),
		ResumeBytes:     limit(p.ResumeBytes, defaultResumeBytes),
		Items:           limit(p.Items, defaultItems),
		StateBytes:      limit(p.StateBytes, defaultStateBytes),
		ItemBytes:       limit(p.ItemBytes, defaultItemBytes),
		Idempotency:     limit(p.Idempotency, defaultIdempotency),
		IdempotencyKeys: limit(p.IdempotencyKeys, defaultIdempotencyKeys),
		Durable:         p.Durable,
		AfterDisk:       p.AfterDisk,
		Awaited:         p.Awaited,
	}
}

func limit[T int | time.Duration](value, otherwise T) T {
	switch {
	case value == 0:
		return otherwise
	case value < 0:
		return 0
	}
	return value
}

// sharedPolicies is how many distinct policies are kept once for all their channels. Namespaces are
// few; a configuration with more of them pays for a copy per channel.
const sharedPolicies = 64

// policyOf asks the configuration for a channel's policy and returns a shared copy of it, so that a
// channel costs a pointer only.
func (b *Broker) policyOf(channel string) *Policy {
	var policy Policy
	if b.config.Policy != nil {
		policy = b.config.Policy(channel)
	}
	policy = policy.Resolved()
	for {
		known := b.policies.Load()
		for _, p := range *known {
			if *p == policy {
				return p
			}
		}
		added := new(policy) // a copy, so that a known policy costs no allocation
		if len(*known) >= sharedPolicies {
			return added
		}
		more := append((*known)[:len(*known):len(*known)], added)
		if b.policies.CompareAndSwap(known, &more) {
			return added
		}
	}
}
