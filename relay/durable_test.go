package relay

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"weir/broker/disk/memdisk"
	"weir/internal/units"
	"weir/relay/config"
)

// kept is a configuration with a durable namespace.
func kept(dir string) func(*config.Config) {
	return func(c *config.Config) {
		c.Data = dir
		c.Namespaces["kept"] = config.Namespace{Durable: true, Subscribe: config.Authenticated, Publish: config.Authenticated, Limit: config.Bounds{Rate: units.Rate{Count: 1 << 30, Per: time.Second}}}
	}
}

// A disk that fails refuses what is to be safe, and says so; everything else goes on, and it heals.
func TestFailingDisk(t *testing.T) {
	var broken sync.Map
	log := memdisk.New(func(op string) error {
		if _, ok := broken.Load(op); ok {
			return memdisk.ErrFull
		}
		return nil
	})
	g := open(t, kept(t.TempDir()), func(c *config.Config) { c.Wal = log })
	c := g.client("u1")
	c.subscribe("kept:1", "")
	c.subscribe("room:1", "")
	g.publish(`{"channel":"kept:1","data":1,"ack":"disk"}`)
	c.change(1, "1")

	broken.Store("sync", true)
	if a := g.api(503, "POST", "/v1/publish", `{"channel":"kept:1","data":2}`); !strings.Contains(a.body, `"storage"`) {
		t.Fatal(a.body)
	}
	c.change(2, "2") // it is tried again; nobody was told that it is safe
	g.publish(`{"channel":"kept:1","data":3,"ack":"memory"}`)
	c.change(3, "3")
	g.publish(`{"channel":"room:1","data":4}`)
	c.change(1, "4")
	a := g.ask("POST", "/v1/publish", `{"channel":"kept:1","data":5}`+"\n"+`{"channel":"room:1","data":6}`+"\n", "Authorization: Bearer "+apiKey, "Content-Type: application/x-ndjson")
	if lines := strings.Split(strings.TrimSpace(a.body), "\n"); len(lines) != 2 || !strings.Contains(lines[0], `"code":"storage"`) || !strings.Contains(lines[0], `"line":1`) || !strings.Contains(lines[1], `"position"`) {
		t.Fatal(a.body)
	}
	c.change(2, "6")
	a = g.ask("POST", "/v1/publish?answers=errors", `{"channel":"x y","data":0}`+"\n"+`{"channel":"room:1","data":7}`+"\n"+`{"channel":"kept:1","data":8}`+"\n"+`{"channel":"x y","data":9}`,
		"Authorization: Bearer "+apiKey, "Content-Type: application/x-ndjson")
	if lines := strings.Split(strings.TrimSpace(a.body), "\n"); len(lines) != 4 || !strings.HasSuffix(lines[0], `"line":1}`) || !strings.Contains(lines[1], `"code":"storage"`) ||
		!strings.HasSuffix(lines[1], `"line":3}`) || !strings.HasSuffix(lines[2], `"line":4}`) || !strings.HasPrefix(lines[3], `{"accepted":1,"position":`) || !strings.HasSuffix(lines[3], `"seq":3}}`) {
		t.Fatal(a.body)
	}
	c.change(3, "7")
	if body := g.adminGet("/readyz"); !strings.Contains(body, "ready") || !strings.Contains(body, "the disk fails") {
		t.Fatal(body)
	}
	if n := g.metric("weir_disk_failing"); n != "1" {
		t.Fatal(n)
	}

	broken.Delete("sync")
	g.until("the disk has healed", func() bool { return g.metric("weir_disk_failing") == "0" })
	if body := g.adminGet("/readyz"); body != "ready\n" {
		t.Fatal(body)
	}
	g.publish(`{"channel":"kept:1","data":7,"ack":"disk"}`)
	c.change(4, "7")
}

// Lines that are to be safe wait together, and each has its position.
func TestLinesOfADurableChannel(t *testing.T) {
	g := open(t, kept(t.TempDir()))
	var body strings.Builder
	for n := range 200 {
		fmt.Fprintf(&body, `{"channel":"kept:%d","data":%d}`+"\n", n%3, n)
	}
	a := g.ask("POST", "/v1/publish", body.String(), "Authorization: Bearer "+apiKey, "Content-Type: application/x-ndjson")
	lines := strings.Split(strings.TrimSpace(a.body), "\n")
	if a.StatusCode != http.StatusOK || len(lines) != 200 {
		t.Fatal(a.StatusCode, len(lines))
	}
	for n, line := range lines {
		if !strings.Contains(line, fmt.Sprintf(`"seq":%d}`, n/3+1)) {
			t.Fatalf("line %d: %s", n, line)
		}
	}
	if commits := g.relay.hub.Disk.Stats().Commits; commits > 150 {
		t.Fatalf("%d commits for 200 lines", commits)
	}
}

// What is stored of a channel and cannot be read is no 404.
func TestDamagedChannelIsNotMissing(t *testing.T) {
	g := open(t, kept(t.TempDir()))
	g.api(404, "GET", "/v1/channels/kept:1", "")
	g.publish(`{"channel":"kept:1","key":"a","data":1}`)
	g.api(200, "DELETE", "/v1/channels/kept:1", "")
	g.api(404, "GET", "/v1/channels/kept:1/items/a", "")
	if _, err := g.relay.hub.Broker.Drop("kept:2"); err == nil {
		t.Fatal("dropped what there is not")
	}
	dir := g.relay.hub.Config.Data
	g.publish(`{"channel":"kept:1","key":"a","data":1}`)
	g.publish(`{"channel":"kept:2","key":"a","data":1}`)
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(filepath.Join(dir, "weir.db"), 0o600, nil)
	if err == nil {
		err = errors.Join(db.Update(func(tx *bbolt.Tx) error {
			k, v := tx.Bucket([]byte("history")).Cursor().Seek([]byte("kept:1"))
			v = bytes.Clone(v)
			v[len(v)-1] ^= 1
			return tx.Bucket([]byte("history")).Put(bytes.Clone(k), v)
		}), db.Close())
	}
	if err != nil {
		t.Fatal(err)
	}

	g = open(t, kept(dir))
	for _, path := range []string{"", "/items", "/items/a", "/none", "/items/none", "/history"} {
		if a := g.api(503, "GET", "/v1/channels/kept:1"+path, ""); !strings.Contains(a.body, `"storage"`) {
			t.Errorf("%s: %s", path, a.body)
		}
	}
	for _, path := range []string{"/items", "/items/a", "/none", "/items/none"} {
		g.api(503, "DELETE", "/v1/channels/kept:1"+path, "")
	}
	g.api(503, "POST", "/v1/publish", `{"channel":"kept:1","key":"b","data":1}`)
	c := g.client("u1")
	for _, command := range []string{"subscribe", "history"} {
		c.refused("storage", `{"type":"%s","id":"x","channel":"kept:1"}`, command)
	}
	g.api(200, "GET", "/v1/channels/kept:2/items/a", "")
	g.api(200, "DELETE", "/v1/channels/kept:1", "")
	g.publish(`{"channel":"kept:1","key":"b","data":1}`)
}

// Whoever lists the channels of a directory gets an answer, with and without a prefix, and the relay ends then.
func TestChannelsOfADirectory(t *testing.T) {
	dir := t.TempDir()
	g := open(t, kept(dir))
	for n := range 3 {
		g.publish(fmt.Sprintf(`{"channel":"kept:%d","data":1}`, n))
	}
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
	g = open(t, kept(dir))
	for query, want := range map[string]int{"": 3, "?limit=3": 3, "?limit=2": 2, "?prefix=kept:": 3, "?after=kept:2": 0, "?prefix=z": 0} {
		if a := g.api(200, "GET", "/v1/channels"+query, ""); strings.Count(a.body, `"channel":`) != want {
			t.Errorf("%s: %s", query, a.body)
		}
	}
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
}
