package nats

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	client "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"weir/internal/mesh"
)

// log implements mesh.Log: a stream with one subject. It discards what is new when it is full: what is old is needed until somebody says that it is not.
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
func (l *log) Bounds(ctx context.Context) (first, last uint64, err error) { return l.bounds(ctx) }

// readAhead is how many messages are asked for at once.
const readAhead = 32

// Read implements mesh.Log. It asks for the messages one by one, some at a time: a consumer of the servers would be one more thing that has to be made, and that elects a leader.
func (l *log) Read(ctx context.Context, from, to uint64, f func(number uint64, at time.Time, message []byte) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type got struct {
		m     *stored // nil: it was purged
		first uint64  // then: what is there
		err   error
	}
	var asked []chan got // from on
	next := max(from, 1)
	for from = next; from <= to; from++ {
		for ; next <= to && next < from+readAhead; next++ {
			answer, number := make(chan got, 1), next
			asked = append(asked, answer)
			go func() { // ends with the answer, or ctx
				m, first, err := l.get(ctx, number)
				answer <- got{m, first, err}
			}()
		}
		one := <-asked[0]
		asked = asked[1:]
		switch {
		case one.err != nil:
			return fmt.Errorf("read %s: message %d: %w", l.name, from, one.err)
		case one.m != nil:
			if err := f(from, one.m.Time, one.m.Data); err != nil {
				return err
			}
		case one.first > next: // so are all up to there
			asked, from, next = nil, one.first-1, one.first
		}
	}
	return nil
}

// get reads a message, and waits until it is there; nil, and the first that is there: it was purged.
func (l *log) get(ctx context.Context, number uint64) (m *stored, first uint64, err error) {
	for {
		m, err = l.message(ctx, wanted{Number: number})
		if errors.Is(err, jetstream.ErrMsgNotFound) { // yet, or any more: no message comes back, so that even who lags behind knows what was purged
			if first, _, err = l.bounds(ctx); err == nil && first > number {
				return nil, first, nil
			}
			err = errors.Join(err, jetstream.ErrMsgNotFound)
		}
		if err == nil {
			return m, 0, nil
		}
		select {
		case <-ctx.Done():
			return nil, 0, errors.Join(err, ctx.Err())
		case <-time.After(pauseToRead):
		}
	}
}

// pauseToRead is how long until a message is asked for again.
const pauseToRead = 20 * time.Millisecond

// Purge implements mesh.Log.
func (l *log) Purge(ctx context.Context, to uint64) error { return l.purge(ctx, "", to+1) }
