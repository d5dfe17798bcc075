package documents_test

import (
	"bytes"
	"errors"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"

	"weir/relay/config"
)

// A document of which something is damaged on disk is refused, and nothing of it is given up: it is neither taken for one that
// there is not, nor for one without its latest operations.
func TestDamagedDocument(t *testing.T) {
	for bucket, channel := range map[string]string{"items": "document-head:d1", "history": "document-log:d1"} {
		dir := t.TempDir()
		durable := func(c *config.Config) { swift(c); c.Data = dir }
		g := start(t, durable)
		if status, body := g.Backend("PUT", "/v1/documents/d1", m{"text": "kept"}); status != 200 {
			t.Fatal(status, body)
		}
		g.Stop()
		flip := func() {
			db, err := bbolt.Open(filepath.Join(dir, "weir.db"), 0o600, nil)
			if err != nil {
				t.Fatal(err)
			}
			err = errors.Join(db.Update(func(tx *bbolt.Tx) error {
				k, v := tx.Bucket([]byte(bucket)).Cursor().Seek([]byte(channel))
				if !bytes.HasPrefix(k, []byte(channel)) {
					t.Fatalf("nothing of %s in %s", channel, bucket)
				}
				v = bytes.Clone(v)
				v[len(v)-1] ^= 1
				return tx.Bucket([]byte(bucket)).Put(bytes.Clone(k), v)
			}), db.Close())
			if err != nil {
				t.Fatal(err)
			}
		}
		flip()
		g = start(t, durable)
		for _, method := range []string{"GET", "PUT"} {
			if status, body := g.Backend(method, "/v1/documents/d1", m{"text": "new"}); status != 503 || body.(m)["code"] != "storage" {
				t.Errorf("%s, %s is damaged: %d %v", method, channel, status, body)
			}
		}
		g.Stop()
		flip() // back
		g = start(t, durable)
		if status, body := g.Backend("GET", "/v1/documents/d1", nil); status != 200 || body.(m)["text"] != "kept" {
			t.Errorf("after %s was damaged: %d %v", channel, status, body)
		}
		g.Stop()
	}
}
