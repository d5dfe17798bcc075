package notices

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	kept        = 10 * time.Minute
	most        = 1 << 14        // of one process
	originsKept = 24 * time.Hour // of which it is known which notice was the last
)

// Notice is a notice as it is kept and sent.
type Notice struct {
	Number uint64 `json:"number"`
	Age    int64  `json:"age"` // in milliseconds, when it is sent
	Kind   string `json:"kind"`
	Body   []byte `json:"body"`

	made time.Time // by this process's clock
}

// Made returns when the notice was made, by this process's clock; zero for a notice that was not taken.
func (x *Notice) Made() time.Time { return x.made }

// Query asks for what a process lacks: the last number that it has, by origin.
type Query map[string]uint64

// Answer has the notices that a Query asks for, by origin.
type Answer map[string]struct {
	Notices    []Notice `json:"notices"`
	Dropped    uint64   `json:"dropped"`    // the last number that is forgotten
	DroppedAge int64    `json:"droppedAge"` // at most; in milliseconds
}

// origin is the notices of one process, this one's own among them. Guarded by Log.mu.
type origin struct {
	done    uint64              // all up to this one have been acted on here
	ahead   map[uint64]struct{} // and these
	kept    []Notice            // by number
	dropped uint64              // the last number that is not kept any more
	newest  time.Time           // when that one was made, or the newest that is kept
}

// Log has the notices of all processes that this process knows. Its zero value is empty.
type Log struct {
	mu      sync.Mutex
	origins map[string]*origin
	lacking map[string]bool      // members whose last hello named some that had not come
	asking  map[string]time.Time // members that were asked for these, and until when that is waited for
}

// of returns the notices of a process. The caller holds mu.
func (l *Log) of(session string) *origin {
	o := l.origins[session]
	if o == nil {
		if l.origins == nil {
			l.origins = make(map[string]*origin)
		}
		o = &origin{ahead: make(map[uint64]struct{})}
		l.origins[session] = o
	}
	return o
}

// Make makes and keeps the next notice of this process.
func (l *Log) Make(session, kind string, body []byte) Notice {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := l.of(session)
	x := Notice{Number: o.done + 1, Kind: kind, Body: body, made: time.Now()}
	o.take(x)
	return x
}

// Take keeps a notice of another process. It returns false if this process has acted on it already.
func (l *Log) Take(session string, x *Notice) bool {
	x.made = time.Now().Add(-time.Duration(x.Age) * time.Millisecond)
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.of(session).take(*x)
}

func (o *origin) take(x Notice) bool {
	if _, again := o.ahead[x.Number]; again || x.Number <= o.done {
		return false
	}
	o.ahead[x.Number] = struct{}{}
	o.advance()
	at, _ := slices.BinarySearchFunc(o.kept, x.Number, func(k Notice, number uint64) int { return cmp.Compare(k.Number, number) })
	o.kept = slices.Insert(o.kept, at, x)
	if x.made.After(o.newest) {
		o.newest = x.made
	}
	if len(o.kept) > most {
		o.drop(1)
	}
	return true
}

// advance moves done over what follows it.
func (o *origin) advance() {
	for {
		if _, ok := o.ahead[o.done+1]; !ok {
			return
		}
		o.done++
		delete(o.ahead, o.done)
	}
}

// drop forgets the oldest ones.
func (o *origin) drop(n int) {
	o.dropped = max(o.dropped, o.kept[n-1].Number)
	o.kept = slices.Delete(o.kept, 0, n)
}

// Tidy forgets notices that are over.
func (l *Log) Tidy(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for session, o := range l.origins {
		old := 0
		for old < len(o.kept) && now.Sub(o.kept[old].made) > kept {
			old++
		}
		if old > 0 {
			o.drop(old)
		}
		if now.Sub(o.newest) > originsKept {
			delete(l.origins, session)
		}
	}
	maps.DeleteFunc(l.asking, func(_ string, until time.Time) bool { return now.After(until) })
}

// Forget drops what was noted of a member.
func (l *Log) Forget(session string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.lacking, session)
}

// Heads returns the number of the last notice that this process has of each process.
func (l *Log) Heads() map[string]uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	heads := make(map[string]uint64, len(l.origins))
	for session, o := range l.origins {
		heads[session] = o.done
	}
	return heads
}

// After returns the notices that a query asks for.
func (l *Log) After(q Query, now time.Time) Answer {
	answer := make(Answer)
	l.mu.Lock()
	defer l.mu.Unlock()
	for session, number := range q {
		o := l.origins[session]
		if o == nil {
			continue
		}
		a := answer[session]
		a.Dropped, a.DroppedAge = o.dropped, now.Sub(o.newest).Milliseconds()
		if len(o.kept) > 0 { // what was forgotten is older than what is kept
			a.DroppedAge = now.Sub(o.kept[0].made).Milliseconds()
		}
		for _, x := range o.kept {
			if x.Number > number {
				x.Age = now.Sub(x.made).Milliseconds()
				a.Notices = append(a.Notices, x)
			}
		}
		answer[session] = a
	}
	return answer
}

// Lacking returns what a member is to be asked for, whose hello names its last notices in heads; nil if nothing. own is this process. An
// answer is expected until a time; Asked ends that sooner.
func (l *Log) Lacking(own, member string, heads map[string]uint64, until time.Time) Query {
	query := make(Query)
	l.mu.Lock()
	defer l.mu.Unlock()
	for session, number := range heads {
		if o := l.origins[session]; session != own && number > 0 && (o == nil || o.done < number) {
			query[session] = 0
			if o != nil {
				query[session] = o.done
			}
		}
	}
	if l.asking == nil {
		l.asking, l.lacking = make(map[string]time.Time), make(map[string]bool)
	}
	_, asked := l.asking[member]
	lacked := l.lacking[member]
	if l.lacking[member] = len(query) > 0; asked || !lacked || len(query) == 0 { // at first it may be on its way
		return nil
	}
	l.asking[member] = until
	return query
}

// Asked ends what Lacking began: the member has answered, or will not answer.
func (l *Log) Asked(member string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.asking, member)
}

// CatchUp takes the notices of an answer. For each process it first calls missed if some notices are forgotten everywhere, with a time before
// which none of these was made. Then it calls act with each notice that is new here.
func (l *Log) CatchUp(answer Answer, missed func(gap time.Time), act func(x Notice)) {
	for session, a := range answer {
		gap := time.Now().Add(-time.Duration(a.DroppedAge) * time.Millisecond)
		if l.skip(session, a.Dropped, gap) {
			missed(gap)
		}
		for _, x := range a.Notices {
			if l.Take(session, &x) {
				act(x)
			}
		}
	}
}

// skip goes on behind what is forgotten. It reports whether any of that had not come.
func (l *Log) skip(session string, dropped uint64, gap time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := l.of(session)
	if o.done >= dropped {
		return false
	}
	o.done, o.dropped = dropped, max(o.dropped, dropped)
	maps.DeleteFunc(o.ahead, func(number uint64, _ struct{}) bool { return number <= o.done })
	o.advance()
	if gap.After(o.newest) {
		o.newest = gap
	}
	return true
}
