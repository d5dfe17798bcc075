package broker

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open makes a broker that is closed at the end of the test.
func open(t testing.TB, config Config) *Broker {
	t.Helper()
	b, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

// always is a Config.Policy that answers the same for every channel.
func always(p Policy) func(string) Policy { return func(string) Policy { return p } }

func publish(t testing.TB, b *Broker, channel string, p Publication) Position {
	t.Helper()
	at, err := b.Publish(channel, &p)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func join(t testing.TB, b *Broker, channel string, request JoinRequest) (*Channel, Reply) {
	t.Helper()
	var reply Reply
	c, err := b.Join(channel, request, func(_ Subscriber, r Reply) { reply = r })
	if err != nil {
		t.Fatal(err)
	}
	return c, reply
}

// wire is an encoded change, decoded.
type wire struct {
	Seq   uint64          `json:"seq"`
	Op    string          `json:"op"`
	Group string          `json:"group"`
	Key   string          `json:"key"`
	Data  json.RawMessage `json:"data"`
	Cause string          `json:"cause"`
}

func parse[T any](encoded []byte) (value T, err error) {
	if err = json.Unmarshal(encoded, &value); err != nil {
		err = fmt.Errorf("%s: %w", encoded, err)
	}
	return value, err
}

func decode[T any](t testing.TB, encoded []byte) T {
	t.Helper()
	value, err := parse[T](encoded)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return value
}

// recorder is a subscriber that passes everything on to the readers that joined through it.
type recorder struct {
	mu      sync.Mutex
	readers map[*reader]struct{}
}

// reader is what a subscriber would see: encoded changes and resets, in order. While it is in a
// recorder, its mu guards it.
type reader struct {
	mu      sync.Mutex
	changes [][]byte
	resets  []Reply
	resetAt []int // len(changes) at each reset
	exclude []string
	texts   [][]byte // of appends
}

// heard answers the changes so far.
func (r *reader) heard() [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.changes
}

func newRecorder(*Channel) Subscriber { return &recorder{readers: make(map[*reader]struct{})} }

func (o *recorder) Apply(c *Change) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for r := range o.readers {
		r.mu.Lock()
		r.changes = append(r.changes, c.Encoded)
		if c.Op == Append {
			r.texts = append(r.texts, c.Text())
		}
		r.exclude = append(r.exclude, c.Exclude)
		r.mu.Unlock()
	}
}

func (o *recorder) Reset(reply Reply) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for r := range o.readers {
		r.mu.Lock()
		r.resets = append(r.resets, reply)
		r.resetAt = append(r.resetAt, len(r.changes))
		r.mu.Unlock()
	}
}

func (o *recorder) add(r *reader) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.readers[r] = struct{}{}
}

func (o *recorder) drop(r *reader) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.readers, r)
}
