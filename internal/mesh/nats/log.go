package nats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	client "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"weir/internal/mesh"
)

// A log is a stream with one subject. It discards what is new when it is full: what is old is needed until somebody says that it is not. The shelf is a stream with a subject
// for each key, of which the last message counts. Neither is read but through its leader: another server may lag behind, for half a minute after it was stopped.

// stream is a stream of JetStream, which is made when it is first written to.
type stream struct {
	node   *node
	name   string
	config jetstream.StreamConfig

	mu   sync.Mutex
	made bool // guarded by mu: it is known to be there
}

const (
	expectedLast       = "Nats-Expected-Last-Sequence"
	expectedLastOfKey  = "Nats-Expected-Last-Subject-Sequence"
	batchID            = "Nats-Batch-Id"
	batchSequence      = "Nats-Batch-Sequence"
	batchCommit        = "Nats-Batch-Commit"
	codeStore          = 10077 // storing failed; the text says why
	codeNoStream       = 10059
	codeResources      = 10023
	codeStorage        = 10047
	codeWrongLastOfKey = 10164
	overhead           = 4 << 10 // of a message that a server takes: subject and headers
)

func (n *node) stream(suffix string, subjects string, c jetstream.StreamConfig) *stream {
	c.Name = "WEIR_" + n.config.Name + "_" + suffix
	c.Subjects = []string{subjects}
	c.Storage, c.Replicas, c.Discard = jetstream.FileStorage, n.config.Replicas, jetstream.DiscardNew
	return &stream{node: n, name: c.Name, config: c}
}

// make makes the stream, if it is not there.
func (s *stream) make(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.made {
		return nil
	}
	_, err := s.node.js.CreateStream(ctx, s.config)
	if err != nil && !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		return fmt.Errorf("make the stream %s: %w", s.name, err)
	}
	s.made = true
	return nil
}

// open returns the stream to be read; nil if it is not there.
func (s *stream) open(ctx context.Context) (jetstream.Stream, error) {
	if !s.node.conn.IsConnected() {
		return nil, mesh.ErrAway
	}
	js, err := s.node.js.Stream(ctx, s.name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", s.name, err)
	}
	return js, nil
}

// ack is what a stream says to a message.
type ack struct {
	Error *jetstream.APIError `json:"error"`
	Seq   uint64              `json:"seq"`
}

// publish has the stream take a message, once: a client that tried again by itself would hide what is not known. sure says that the stream has refused it if it has not taken it.
func (s *stream) publish(ctx context.Context, m *client.Msg) (ack, error) {
	if !s.node.conn.IsConnected() {
		return ack{}, mesh.ErrAway
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := s.make(ctx); err != nil {
		return ack{}, err
	}
	r, err := s.node.conn.RequestMsgWithContext(ctx, m)
	if err != nil {
		return ack{}, fmt.Errorf("%s: %w", s.name, err)
	}
	var a ack
	if len(r.Data) == 0 { // of a batch that goes on
		return a, nil
	}
	if err := json.Unmarshal(r.Data, &a); err != nil {
		return ack{}, fmt.Errorf("%s: answer of the server: %w", s.name, err)
	}
	if a.Error == nil {
		return a, nil
	}
	switch text := a.Error.Description; a.Error.ErrorCode {
	case jetstream.JSErrCodeStreamWrongLastSequence, codeWrongLastOfKey:
		a.Seq, _ = strconv.ParseUint(text[strings.LastIndexByte(text, ' ')+1:], 10, 64)
		return a, mesh.ErrConflict
	case codeNoStream:
		s.mu.Lock()
		s.made = false
		s.mu.Unlock()
	case codeResources, codeStorage:
		return ack{}, fmt.Errorf("%s: %w: %s", s.name, mesh.ErrFull, text)
	case codeStore:
		if strings.Contains(text, "maximum") {
			return ack{}, fmt.Errorf("%s: %w: %s", s.name, mesh.ErrFull, text)
		}
	}
	return ack{}, fmt.Errorf("%s: %w", s.name, a.Error)
}

// log implements mesh.Log.
type log struct {
	*stream
	subject string
}

// Log implements mesh.Node.
func (n *node) Log(number int) mesh.Log {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.logs[number]
	if l == nil {
		subject := fmt.Sprintf("weir.%s.log.%d", n.config.Name, number)
		l = &log{n.stream(fmt.Sprint("L", number), subject, jetstream.StreamConfig{MaxBytes: n.config.LogBytes, Duplicates: time.Second}), subject}
		n.logs[number] = l
	}
	return l
}

// Append implements mesh.Log.
func (l *log) Append(ctx context.Context, message []byte, last uint64) (uint64, error) {
	a, err := l.publish(ctx, &client.Msg{Subject: l.subject, Data: message, Header: client.Header{expectedLast: {strconv.FormatUint(last, 10)}}})
	return a.Seq, err
}

// Bounds implements mesh.Log.
func (l *log) Bounds(ctx context.Context) (first, last uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	js, err := l.open(ctx)
	if err != nil || js == nil {
		return 1, 0, err
	}
	state := js.CachedInfo().State // which is what the leader has just said
	return max(state.FirstSeq, 1), state.LastSeq, nil
}

// readAhead is how many messages are asked for at once.
const readAhead = 32

// Read implements mesh.Log. It asks for the messages one by one, some at a time: a consumer of the servers would be one more thing that has to be made, and that elects a leader.
func (l *log) Read(ctx context.Context, from, to uint64, f func(number uint64, at time.Time, message []byte) error) error {
	if from > to {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	js, err := l.open(ctx)
	if err != nil {
		return err
	}
	if js == nil {
		return fmt.Errorf("stream %s: %w", l.name, jetstream.ErrStreamNotFound)
	}
	type got struct {
		m   *jetstream.RawStreamMsg // nil: it was purged
		err error
	}
	var asked []chan got // from on
	next := max(from, js.CachedInfo().State.FirstSeq, 1)
	for from = next; from <= to; from++ {
		for ; next <= to && next < from+readAhead; next++ {
			answer, number := make(chan got, 1), next
			asked = append(asked, answer)
			go func() { // ends with the answer, or ctx
				m, err := l.get(ctx, js, number)
				answer <- got{m, err}
			}()
		}
		one := <-asked[0]
		asked = asked[1:]
		if one.err != nil {
			return fmt.Errorf("read %s: message %d: %w", l.name, from, one.err)
		}
		if one.m == nil {
			continue
		}
		if err := f(from, one.m.Time, one.m.Data); err != nil {
			return err
		}
	}
	return nil
}

// get reads a message, and waits until it is there; nil: it was purged.
func (l *log) get(ctx context.Context, js jetstream.Stream, number uint64) (*jetstream.RawStreamMsg, error) {
	for {
		within, cancel := context.WithTimeout(ctx, patience)
		m, err := js.GetMsg(within, number)
		if errors.Is(err, jetstream.ErrMsgNotFound) { // yet, or any more
			var info *jetstream.StreamInfo
			if info, err = js.Info(within); err == nil && info.State.FirstSeq > number {
				m, err = nil, nil
			} else if err == nil {
				err = jetstream.ErrMsgNotFound
			}
		}
		cancel()
		if err == nil || ctx.Err() != nil {
			return m, errors.Join(err, ctx.Err())
		}
		select {
		case <-ctx.Done():
		case <-time.After(pauseToRead):
		}
	}
}

// pauseToRead is how long until a message is asked for again.
const pauseToRead = 20 * time.Millisecond

// Purge implements mesh.Log.
func (l *log) Purge(ctx context.Context, to uint64) error {
	return l.purge(ctx, jetstream.WithPurgeSequence(to+1))
}

func (s *stream) purge(ctx context.Context, options ...jetstream.StreamPurgeOpt) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	js, err := s.open(ctx)
	if err == nil && js != nil {
		err = js.Purge(ctx, options...)
	}
	if err != nil {
		return fmt.Errorf("purge %s: %w", s.name, err)
	}
	return nil
}

// Limit implements mesh.Log and mesh.Shelf.
func (s *stream) Limit() int { return int(s.node.conn.MaxPayload()) - overhead }

// shelf implements mesh.Shelf.
type shelf struct {
	*stream
	prefix string // of the subjects
}

// Shelf implements mesh.Node.
func (n *node) Shelf() mesh.Shelf { return n.shelf }

func newShelf(n *node) shelf {
	prefix := "weir." + n.config.Name + ".shelf."
	return shelf{n.stream("S", prefix+">", jetstream.StreamConfig{MaxMsgsPerSubject: 1, AllowAtomicPublish: true, Duplicates: time.Second}), prefix}
}

// Get implements mesh.Shelf.
func (s shelf) Get(ctx context.Context, key string) (value []byte, revision uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	js, err := s.open(ctx)
	if err != nil || js == nil {
		return nil, 0, err
	}
	m, err := js.GetLastMsgForSubject(ctx, s.prefix+key)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return nil, 0, nil
	case err != nil:
		return nil, 0, fmt.Errorf("read %s: %w", key, err)
	case m.Data == nil:
		m.Data = []byte{}
	}
	return m.Data, m.Sequence, nil
}

// Put implements mesh.Shelf.
func (s shelf) Put(ctx context.Context, expected uint64, values ...mesh.Value) (uint64, error) {
	id := ""
	if len(values) > 1 {
		id = client.NewInbox()[len("_INBOX."):]
	}
	var last ack
	for i, v := range values {
		m := &client.Msg{Subject: s.prefix + v.Key, Data: v.Data, Header: client.Header{}}
		if id != "" {
			m.Header.Set(batchID, id)
			m.Header.Set(batchSequence, strconv.Itoa(i+1))
		}
		if i == len(values)-1 {
			m.Header.Set(expectedLastOfKey, strconv.FormatUint(expected, 10))
			if id != "" {
				m.Header.Set(batchCommit, "1")
			}
		}
		var err error
		if last, err = s.publish(ctx, m); err != nil {
			return 0, err
		}
	}
	return last.Seq, nil
}

// Drop implements mesh.Shelf.
func (s shelf) Drop(ctx context.Context, key string, revision uint64) error {
	return s.purge(ctx, jetstream.WithPurgeSubject(s.prefix+key), jetstream.WithPurgeSequence(revision+1))
}

// Keys implements mesh.Shelf.
func (s shelf) Keys(ctx context.Context, prefix string, f func(key string) error) error {
	js, err := s.open(ctx)
	if err != nil || js == nil {
		return err
	}
	info, err := js.Info(ctx, jetstream.WithSubjectFilter(s.prefix+prefix+".>"))
	if err != nil {
		return fmt.Errorf("list %s: %w", s.name, err)
	}
	for subject := range info.State.Subjects {
		if err := f(subject[len(s.prefix):]); err != nil {
			return err
		}
	}
	return nil
}
