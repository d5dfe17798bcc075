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

// shelf implements mesh.Shelf: a stream with a subject for each key, of which the last message counts.
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
	m, err := s.message(ctx, wanted{Subject: s.prefix + key})
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return nil, 0, nil
	case err != nil:
		return nil, 0, fmt.Errorf("read %s: %w", key, err)
	case m.Data == nil:
		m.Data = []byte{}
	}
	return m.Data, m.Number, nil
}

// Prove implements mesh.Shelf: it writes something that the servers take only if that is so.
func (s shelf) Prove(ctx context.Context, key string, revision uint64) error {
	_, err := s.publish(ctx, &client.Msg{Subject: s.prefix + "proof",
		Header: client.Header{expectedLastOfKey: {strconv.FormatUint(revision, 10)}, expectedKey: {s.prefix + key}}})
	if err != nil {
		return fmt.Errorf("revision %d of %s: %w", revision, key, err)
	}
	return nil
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
	return s.purge(ctx, s.prefix+key, revision+1)
}

// Keys implements mesh.Shelf.
func (s shelf) Keys(ctx context.Context, prefix string, f func(key string) error) error {
	if !s.node.conn.IsConnected() {
		return mesh.ErrAway
	}
	js, err := s.node.js.Stream(ctx, s.name)
	var info *jetstream.StreamInfo
	if err == nil {
		info, err = js.Info(ctx, jetstream.WithSubjectFilter(s.prefix+prefix+".>"))
	}
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return fmt.Errorf("%s: %w", s.name, mesh.ErrAbsent)
	case err != nil:
		return fmt.Errorf("list %s: %w", s.name, err)
	}
	for subject := range info.State.Subjects {
		if err := f(subject[len(s.prefix):]); err != nil {
			return err
		}
	}
	return nil
}
