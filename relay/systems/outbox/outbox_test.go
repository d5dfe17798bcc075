//go:build unix

package outbox_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"weir/internal/pgtest"
	"weir/relay"
	"weir/relay/config"
	"weir/relay/relaytest"
	"weir/relay/systems/outbox"
)

// server is the one PostgreSQL server of the tests, which therefore do not run side by side.
var server *pgtest.Server

func TestMain(m *testing.M) {
	var err error
	if server, err = pgtest.New(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	relaytest.Main(tests{m})
}

// tests end the server before anybody looks for goroutines.
type tests struct{ *testing.M }

func (t tests) Run() int {
	defer server.Close()
	return t.M.Run()
}

// db is a connection of an application's, to an outbox of its own.
type db struct {
	testing.TB
	*pgx.Conn
	table string
}

var tables atomic.Int64

// newTable makes an outbox.
func newTable(t testing.TB) *db {
	t.Helper()
	d := &db{t, server.Connect(t), fmt.Sprint("outbox_", tables.Add(1))}
	d.ddl(outbox.Options{})
	return d
}

func (d *db) ddl(o outbox.Options) {
	d.Helper()
	name, err := outbox.ParseTable(d.table)
	if err != nil {
		d.Fatal(err)
	}
	d.sql(outbox.DDL(name, o))
}

// other is another connection to the same outbox.
func (d *db) other() *db { return &db{d.TB, server.Connect(d), d.table} }

// sql runs statements, in which outbox stands for the table.
func (d *db) sql(text string, args ...any) {
	d.Helper()
	text = regexp.MustCompile(`\boutbox\b`).ReplaceAllString(text, d.table)
	if _, err := d.Exec(context.Background(), text, args...); err != nil {
		d.Fatalf("%s: %v", text, err)
	}
}

// send inserts a row that is an event of a channel.
func (d *db) send(channel string, n int) {
	d.Helper()
	d.sql(`INSERT INTO outbox (channel, data) VALUES ($1, $2)`, channel, fmt.Sprint(n))
}

// one is the one value that a query returns.
func (d *db) one(text string, args ...any) (out string) {
	d.Helper()
	text = regexp.MustCompile(`\boutbox\b`).ReplaceAllString(text, d.table)
	if err := d.QueryRow(context.Background(), text, args...).Scan(&out); err != nil {
		d.Fatalf("%s: %v", text, err)
	}
	return out
}

// empty waits until nothing is left in the table.
func (d *db) empty() {
	d.Helper()
	relaytest.Until(d, "the outbox is empty", func() bool { return d.one(`SELECT count(*)::text FROM outbox`) == "0" })
}

// follow starts a relay that follows the outbox. Between notifications it looks once a minute only, unless change says otherwise.
func (d *db) follow(change func(*config.Config), systems ...relay.System) *relaytest.Rig {
	d.Helper()
	g := relaytest.Start(d, d.config(change), append([]relay.System{outbox.New()}, systems...)...)
	d.Cleanup(func() {
		if d.Failed() {
			d.Log(g.Logs())
		}
	})
	return g
}

func (d *db) config(change func(*config.Config)) func(*config.Config) {
	return func(c *config.Config) {
		o := config.Of[outbox.Config](c)
		o.Postgres, o.Table, o.Poll = server.URL(), d.table, time.Minute
		if change != nil {
			change(c)
		}
	}
}

// events are the data of a channel's log, in its order.
func events(g *relaytest.Rig, channel string) (list []string) {
	g.Helper()
	status, out := g.Backend("GET", "/v1/channels/"+channel+"/history?limit=1000", nil)
	if status == 404 {
		return nil
	}
	if status != 200 {
		g.Fatal(status, out)
	}
	for _, x := range out.(map[string]any)["changes"].([]any) {
		list = append(list, fmt.Sprint(x.(map[string]any)["data"]))
	}
	return list
}

// arrive waits until a channel's log is so.
func arrive(g *relaytest.Rig, channel string, want ...string) {
	g.Helper()
	var got []string
	end := time.Now().Add(relaytest.Patience)
	for got = events(g, channel); fmt.Sprint(got) != fmt.Sprint(want); got = events(g, channel) {
		if time.Now().After(end) {
			g.Fatalf("%s: %v, want %v\n%s", channel, got, want, g.Logs())
		}
		<-time.After(5 * time.Millisecond) // asked, not told
	}
}

// logged waits until the log has it.
func logged(g *relaytest.Rig, text string) {
	g.Helper()
	relaytest.Until(g, "logged: "+text, func() bool { return strings.Contains(g.Logs(), text) })
}

// TestRows: a row is published when its transaction commits, as POST /v1/publish would, and then deleted.
func TestRows(t *testing.T) {
	d := newTable(t)
	g := d.follow(nil)
	logged(g, "this process reads the outbox")
	p := g.WS("u1", "/ws?channel=orders:1")
	p.Type("connected")
	d.sql(`BEGIN; INSERT INTO outbox (channel, data) VALUES ('orders:1', '{"n": 0}'); ROLLBACK`)
	d.sql(`BEGIN; INSERT INTO outbox (channel, key, data) VALUES ('orders:1', 'a', '{"n": 1}');
		INSERT INTO outbox (channel, "group", key, data, ttl) VALUES ('orders:1', 'paid', 'b', '"x"', 3600000);
		INSERT INTO outbox (channel, op, key) VALUES ('orders:1', 'delete', 'a'); INSERT INTO outbox (channel, op, key, data) VALUES ('orders:1', 'send', 'c', 'null'); COMMIT`)
	d.empty()
	if status, out := g.Backend("GET", "/v1/channels/orders:1", nil); status != 200 || fmt.Sprint(out.(map[string]any)["state"]) != "map[paid:map[b:x]]" {
		t.Error(status, out)
	}
	arrive(g, "orders:1", "map[n:1]", "x", "<nil>", "<nil>")
}

// TestOrder: a row waits for a transaction that has drawn a smaller id, for no other one, and for none that has ended.
func TestOrder(t *testing.T) {
	d := newTable(t)
	d.sql(`CREATE TABLE IF NOT EXISTS elsewhere (n int)`)
	elsewhere := d.other()
	elsewhere.sql(`BEGIN; INSERT INTO elsewhere VALUES (1)`) // has a transaction id that is smaller than all others
	g := d.follow(func(c *config.Config) { config.Of[outbox.Config](c).Poll = 50 * time.Millisecond })
	logged(g, "this process reads the outbox")
	first, second, third := d.other(), d.other(), d.other()
	d.send("c", 0)
	arrive(g, "c", "0")
	first.sql("BEGIN")
	first.send("c", 1)
	second.sql("BEGIN")
	second.send("c", 2)
	third.send("c", 3) // commits first
	relaytest.Until(t, "the row is seen to wait", func() bool { return metric(g, "weir_outbox_blocked_seconds") > 0 })
	second.sql("COMMIT")
	if got := events(g, "c"); len(got) != 1 {
		t.Fatal("a row overtook one that is not committed:", got)
	}
	first.sql("COMMIT")
	arrive(g, "c", "0", "1", "2", "3")
	first.sql("BEGIN")
	first.send("c", 4)
	d.send("c", 5)
	first.sql("ROLLBACK")
	arrive(g, "c", "0", "1", "2", "3", "5")
	d.ddl(outbox.Options{Poll: true}) // a transaction that notifies cannot be prepared
	first.sql("BEGIN")
	first.send("c", 6)
	first.sql("PREPARE TRANSACTION 'x'") // goes on under another name
	d.send("c", 7)
	relaytest.Until(t, "the row is seen to wait", func() bool { return metric(g, "weir_outbox_blocked_seconds") > 0 })
	if got := events(g, "c"); len(got) != 5 {
		t.Fatal(got)
	}
	d.sql("COMMIT PREPARED 'x'")
	arrive(g, "c", "0", "1", "2", "3", "5", "6", "7")
	elsewhere.sql("ROLLBACK")
}

// TestLastWriteIsLast: of transactions that change one row of the application and tell of it, the last one is told last, whichever began first.
func TestLastWriteIsLast(t *testing.T) {
	d := newTable(t)
	d.sql(`CREATE TABLE stock (id int PRIMARY KEY, n int)`)
	d.sql(`INSERT INTO stock VALUES (1, 0)`)
	g := d.follow(nil)
	early, late, holder := d.other(), d.other(), d.other()
	write := func(c *db, n int) {
		c.sql(`UPDATE stock SET n = $1 WHERE id = 1`, n)
		c.sql(`INSERT INTO outbox (channel, key, data) SELECT 'stock', '1', to_jsonb(n) FROM stock`)
	}
	early.sql(`BEGIN; SELECT pg_current_xact_id()`) // the smallest transaction id
	holder.sql(`BEGIN; SELECT pg_current_xact_id()`)
	late.sql(`BEGIN`)
	write(late, 1)
	late.sql(`COMMIT`)
	write(early, 2)
	early.sql(`COMMIT`)
	arrive(g, "stock", "1", "2")
	holder.sql(`ROLLBACK`)
}

// TestConcurrentWriters: of many that commit in any order, each row comes once, and those of a channel in the order of their ids.
func TestConcurrentWriters(t *testing.T) {
	d := newTable(t)
	g := d.follow(func(c *config.Config) {
		config.Of[outbox.Config](c).Batch = 7
		c.Namespaces["many"] = config.Namespace{History: config.History{Size: new(1000)}}
	})
	const writers, each = 8, 25
	var group sync.WaitGroup
	for i := range writers {
		c := d.other()
		group.Go(func() {
			for k := range each {
				c.sql(`BEGIN`)
				c.sql(`INSERT INTO outbox (channel, data) VALUES ('many:1', '0')`)
				c.sql(`SELECT pg_sleep($1)`, float64((i*7+k)%5)/1000) // others draw ids and commit meanwhile
				c.sql(`INSERT INTO outbox (channel, data) VALUES ('many:1', '0')`)
				c.sql(`UPDATE outbox SET data = to_jsonb(id) WHERE xmin = pg_current_xact_id()::xid`)
				if (i+k)%5 == 0 {
					c.sql(`ROLLBACK`)
				} else {
					c.sql(`COMMIT`)
				}
			}
		})
	}
	group.Wait()
	d.empty()
	got := events(g, "many:1")
	if len(got) != writers*each*2*4/5 {
		t.Error(len(got), "rows came")
	}
	last := 0
	for _, text := range got {
		var n int
		if _, err := fmt.Sscan(text, &n); err != nil || n <= last {
			t.Fatal(n, "after", last, err)
		}
		last = n
	}
}

// TestBadRows: what can never be published is set aside with the reason, and holds nobody up.
func TestBadRows(t *testing.T) {
	outbox.ReadWholeEvery(t, 50*time.Millisecond)
	d := newTable(t)
	d.sql(`ALTER TABLE outbox ALTER data TYPE text`)
	g := d.follow(nil)
	logged(g, "this process reads the outbox")
	d.sql(`INSERT INTO outbox (channel, op, "group", key, data, ttl) VALUES ('.x', NULL, NULL, NULL, '1', NULL), ('', NULL, NULL, NULL, '1', NULL), ('c', 'drop', NULL, 'k', '1', NULL),
		('c', 'set', NULL, NULL, '1', NULL), ('c', NULL, NULL, 'a b', '1', NULL), ('c', NULL, NULL, NULL, NULL, NULL), ('c', NULL, NULL, NULL, '{"a":', NULL),
		('c', NULL, NULL, NULL, '"' || repeat('x', 65536) || '"', NULL), ('c', NULL, NULL, 'k', '1', -1), ('c', NULL, NULL, NULL, repeat('[', 600), NULL), ('c', NULL, NULL, NULL, '"good"', NULL)`)
	arrive(g, "c", "good")
	relaytest.Until(t, "the good one is deleted", func() bool { return d.one(`SELECT count(*)::text FROM outbox WHERE failed_at IS NULL`) == "0" })
	reasons := strings.Split(d.one(`SELECT string_agg(error, E'\n' ORDER BY id) FROM outbox`), "\n")
	for i, want := range []string{"bad_channel", "bad_channel", "bad_request: op must be", "bad_request: set, delete and append need a key", "bad_name", "bad_request: data is missing", "invalid_json", "too_large: data has 65538 bytes", "bad_request: ttl", "invalid_json"} {
		if i >= len(reasons) || !strings.HasPrefix(reasons[i], want) {
			t.Error(i, want, "in", reasons)
		}
	}
	if n := metric(g, "weir_outbox_failed_total"); n != 10 {
		t.Error(n)
	}
	d.sql(`UPDATE outbox SET channel = 'again', data = '7', failed_at = NULL WHERE channel = '.x'`) // mended by hand
	d.send("c", 8)
	arrive(g, "again", "7")
}

// TestLarge: a row as large as limits.message comes, and a batch is bounded in bytes.
func TestLarge(t *testing.T) {
	d := newTable(t)
	d.sql(`INSERT INTO outbox (channel, data) SELECT 'c' || n, to_jsonb(repeat('x', 3000000)) FROM generate_series(1, 3) n`)
	g := d.follow(func(c *config.Config) { c.Limit.Message, c.Limit.Request, c.Limit.Queue = 4<<20, 8<<20, 8<<20 })
	d.empty()
	if n := metric(g, "weir_outbox_published_total"); n != 3 {
		t.Error(n)
	}
}

// TestRetention: rows that were published are kept for as long as is asked for.
func TestRetention(t *testing.T) {
	d := newTable(t)
	d.sql(`INSERT INTO outbox (channel, data, published_at) VALUES ('c', '0', now() - interval '2 hours')`)
	g := d.follow(func(c *config.Config) { config.Of[outbox.Config](c).Retention = new(time.Hour) })
	d.send("c", 1)
	arrive(g, "c", "1")
	relaytest.Until(t, "the old one goes and the new one stays", func() bool {
		return d.one(`SELECT string_agg(data::text || (published_at IS NOT NULL)::text, ' ') FROM outbox`) == "1true"
	})
}

// TestIdsBeginAnew: after TRUNCATE, which tests of applications like, ids are used again; they are other rows.
func TestIdsBeginAnew(t *testing.T) {
	d := newTable(t)
	g := d.follow(func(c *config.Config) { config.Of[outbox.Config](c).Poll = 50 * time.Millisecond })
	var want []string
	for i := range 3 {
		d.send("c", i)
		want = append(want, fmt.Sprint(i))
		arrive(g, "c", want...)
		d.empty()
		d.sql(`TRUNCATE outbox RESTART IDENTITY`)
	}
}

// TestDDL: it may be run again, with and without the trigger, and gives a role what a reader needs.
func TestDDL(t *testing.T) {
	d := newTable(t)
	d.ddl(outbox.Options{})
	d.sql(`ALTER TABLE outbox DROP COLUMN traceparent`) // as an older one is
	d.sql(`DROP ROLE IF EXISTS reader`)
	d.sql(`CREATE ROLE reader LOGIN`)
	d.ddl(outbox.Options{Poll: true, Role: "reader"})
	g := d.follow(func(c *config.Config) {
		o := config.Of[outbox.Config](c)
		o.Poll, o.Postgres = 50*time.Millisecond, strings.Replace(o.Postgres, "weir@", "reader@", 1)
	})
	d.send("c", 1)
	arrive(g, "c", "1")
	d.sql(`CREATE SCHEMA IF NOT EXISTS app`)
	d.table = "app.outbox"
	name, err := outbox.ParseTable(d.table)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := d.Exec(context.Background(), outbox.DDL(name, outbox.Options{Role: "reader"})); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.Exec(context.Background(), `INSERT INTO app.outbox (channel, data) VALUES ('c', '2')`); err != nil {
		t.Fatal(err)
	}
	g = d.follow(func(c *config.Config) {
		o := config.Of[outbox.Config](c)
		o.Postgres = strings.Replace(o.Postgres, "weir@", "reader@", 1)
	})
	arrive(g, "c", "2")
}

// TestWrongTables: what is wrong is in the log, and it is read when that is mended.
func TestWrongTables(t *testing.T) {
	d := &db{t, server.Connect(t), fmt.Sprint("outbox_", tables.Add(1))}
	g := d.follow(nil)
	logged(g, "make it with weir outbox ddl")
	d.ddl(outbox.Options{})
	logged(g, "this process reads the outbox")
	cached := newTable(t)
	cached.sql(`ALTER TABLE outbox ALTER COLUMN id SET CACHE 20`)
	logged(cached.follow(nil), "SET CACHE 1")
	short := newTable(t)
	short.sql(`ALTER TABLE outbox DROP COLUMN error`)
	logged(short.follow(nil), "has no column error")
}

func TestConfiguration(t *testing.T) {
	for address, want := range map[string]string{
		"host=/tmp password=hunter2":              "outbox.postgres: not an address of PostgreSQL",
		"postgres://a@b/c?password=hunter2":       "outbox.postgres: holds the password as a parameter",
		"postgres://a:hunter2@b/c?sslmode=wrong":  "one of its parameters is invalid",
		"mysql://a:hunter2@b/c":                   "not an address of PostgreSQL",
		"postgres://a:hunter2@b/c?sslmode=prefer": "",
	} {
		m := outbox.Module()
		c := config.Config{Dev: true, Known: []config.System{m.System}, Sections: []config.Section{&outbox.Config{Postgres: address, Table: "weir_outbox"}}}
		if err := c.Complete(); err != nil {
			t.Fatal(err)
		}
		text := ""
		for _, p := range config.Check(c).Problems {
			if strings.HasPrefix(p.Key, "outbox") {
				text += p.Key + ": " + p.Message
			}
		}
		if !strings.Contains(text, want) || want == "" && text != "" || strings.Contains(text, "hunter2") {
			t.Errorf("%s: %s", address, text)
		}
	}
	for _, name := range []string{"", "a b", "A", "a.b.c", ".a", "a.", "1a", `a"b`, strings.Repeat("x", 49)} {
		if _, err := outbox.ParseTable(name); err == nil {
			t.Errorf("%q is a table", name)
		}
	}
}

// metric is a value at /metrics.
func metric(g *relaytest.Rig, name string) (value float64) {
	g.Helper()
	resp, err := http.Get(g.Admin + "/metrics")
	if err != nil {
		g.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			_, _ = fmt.Sscan(rest, &value)
			return value
		}
	}
	g.Fatal("no " + name)
	return 0
}
