package nats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"weir/internal/mesh"
)

// keepTable makes the bucket, if it is not there, and tells the handler of its rows until ctx ends.
func (n *node) keepTable(ctx context.Context) {
	said := ""
	for ctx.Err() == nil {
		err := n.watch(ctx)
		if err != nil && ctx.Err() == nil && err.Error() != said {
			said = err.Error()
			n.config.Log.Warn("the cluster's table cannot be read; trying again", slog.String("error", said))
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// watch tells the handler of the rows until the watch or ctx ends. A watch lives on one of the servers. When that one is gone it is made anew after ten seconds, and
// while the servers elect who makes such things not at all: so the leader of the rows is asked what comes after the last one, now and then, and when a row
// turns out to be another one than was told.
func (n *node) watch(ctx context.Context) error {
	bucket := "weir_" + n.config.Name + "_owners"
	within, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	kv, err := n.js.KeyValue(within, bucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		kv, err = n.js.CreateKeyValue(within, jetstream.KeyValueConfig{Bucket: bucket, History: 1, Replicas: n.config.Replicas, Storage: jetstream.FileStorage})
	}
	if err != nil {
		return fmt.Errorf("bucket %s: %w", bucket, err)
	}
	w, err := kv.WatchAll(ctx)
	if err != nil {
		return fmt.Errorf("watch bucket %s: %w", bucket, err)
	}
	defer func() { _ = w.Stop() }()
	n.mu.Lock()
	n.bucket = kv
	n.mu.Unlock()
	check := time.NewTicker(checkEvery)
	defer check.Stop()
	told := &rows{stream: &stream{node: n, name: "KV_" + bucket}, prefix: "$KV." + bucket + "."}
	for {
		select {
		case <-ctx.Done():
			return nil
		case e, ok := <-w.Updates():
			switch {
			case !ok:
				return errors.New("the NATS server has ended the watch")
			case e == nil:
				told.loaded = true
				n.handler.Loaded()
			case e.Operation() == jetstream.KeyValuePut:
				told.row(e.Key(), e.Value(), e.Revision())
			}
		case <-check.C:
			told.check(ctx)
		case <-n.behind:
			told.check(ctx)
		}
	}
}

// rows is what was told of the table. The goroutine that watches them owns it.
type rows struct {
	*stream
	prefix string // of the subjects
	last   uint64 // revision; what is written later has a greater one
	loaded bool
}

// row tells the handler of a row, unless it knows it or one that was written later.
func (r *rows) row(key string, value []byte, revision uint64) {
	if revision > r.last {
		r.last = revision
		r.node.handler.Row(key, value, revision)
	}
}

// check tells of the rows that were written since the last one that was told, if the leader answers. Who does not know lags behind no further than before.
func (r *rows) check(ctx context.Context) {
	if !r.loaded {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 2*checkEvery)
	defer cancel()
	for {
		m, err := r.message(ctx, wanted{Number: r.last + 1, Next: r.prefix + ">"})
		if err != nil {
			return
		}
		r.row(strings.TrimPrefix(m.Subject, r.prefix), m.Data, m.Number)
	}
}

// Update implements mesh.Node.
func (n *node) Update(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	n.mu.Lock()
	kv := n.bucket
	n.mu.Unlock()
	if kv == nil || !n.conn.IsConnected() {
		return 0, mesh.ErrAway
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	written, err := kv.Update(ctx, key, value, revision) // 0 expects that there is none
	if err == nil {
		return written, nil
	}
	if api := new(jetstream.APIError); errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || errors.Is(err, jetstream.ErrKeyExists) {
		select {
		case n.behind <- struct{}{}:
		default:
		}
		return 0, mesh.ErrConflict
	}
	return 0, fmt.Errorf("write %s: %w", key, err)
}
