//go:build e2e && unix

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"weir/internal/pgtest"
)

// postgres is a PostgreSQL server of the test's own.
func postgres(t *testing.T) *pgtest.Server {
	t.Helper()
	pg, err := pgtest.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pg.Close)
	return pg
}

// ddl is the SQL that makes an outbox.
func ddl(t *testing.T, flags ...string) string {
	t.Helper()
	sql, err := exec.Command(binary(t), append([]string{"outbox", "ddl"}, flags...)...).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(sql)
}

// TestE2EOutboxKilled: weir is killed with SIGKILL, again and again, while transactions commit. Each row that was committed is in the log
// of its channel, once, since the channel is durable, and in the order of the transactions.
func TestE2EOutboxKilled(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	pg := postgres(t)
	conn := pg.Connect(t)
	for _, sql := range []string{ddl(t), `CREATE TABLE counter (n int NOT NULL)`, `INSERT INTO counter VALUES (0)`} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "weir.yaml")
	text := fmt.Sprintf("data: %s\noutbox: {postgres: %q, batch: 10}\nnamespaces: {kept: {durable: true, history: {size: 10000}}}\n", filepath.Join(dir, "data"), pg.URL())
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	serve := func() *daemon {
		return startRelay(t, []string{"WEIR_AUTH_SECRET=" + e2eKey, "WEIR_API_KEY=" + e2eKey}, "--config", config)
	}
	s := serve()

	// Each writer's transaction takes the next number, which lets them commit in the order of the numbers, and tells of it and of its own.
	const writers, whole = 3, 900
	var committed, goal atomic.Int64
	var done sync.WaitGroup
	for w := range writers {
		conn := pg.Connect(t)
		done.Go(func() { // ends with the whole
			for own := 0; committed.Load() < whole; {
				if committed.Load() >= goal.Load() {
					<-time.After(time.Millisecond)
					continue
				}
				err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
					var n int
					if err := tx.QueryRow(ctx, `UPDATE counter SET n = n + 1 RETURNING n`).Scan(&n); err != nil {
						return err
					}
					_, err := tx.Exec(ctx, `INSERT INTO weir_outbox (channel, data) VALUES ('kept:all', to_jsonb($1::int)), ($2, to_jsonb($3::int))`, n, fmt.Sprint("kept:", w), own+1)
					return err
				})
				if err != nil {
					t.Error(err)
					return
				}
				own++
				committed.Add(1)
			}
		})
	}
	defer done.Wait()
	defer goal.Store(whole)
	waiting := func() (n int64) {
		if err := conn.QueryRow(ctx, `SELECT count(*) FROM weir_outbox`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	left := int64(0)
	for round := range 5 {
		goal.Store(int64(150 * (round + 1)))
		begun := int64(2 * 150 * round) // rows before this round, two a transaction
		eventually(t, "row of this round is published", func() bool {
			rows := 2 * committed.Load()
			return rows > begun+20 && rows-waiting() > begun
		})
		if err := s.cmd.Process.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		_ = s.cmd.Wait()
		left += waiting()
		eventually(t, "commit while nobody reads", func() bool { return committed.Load() >= goal.Load() })
		s = serve()
	}
	if left == 0 {
		t.Error("nothing waited when weir was killed: that was no load")
	}
	goal.Store(whole)
	done.Wait()
	eventually(t, "empty outbox", func() bool { return waiting() == 0 })
	total := 0
	for w := range writers {
		list := logOf(t, s, fmt.Sprint("kept:", w))
		total += len(list)
		inOrder(t, fmt.Sprint("writer ", w), list)
	}
	all := logOf(t, s, "kept:all")
	inOrder(t, "all", all)
	if n := int(committed.Load()); len(all) != n || total != n {
		t.Errorf("%d and %d published, %d committed", len(all), total, n)
	}
	t.Logf("%d transactions, %d rows left at the kills", committed.Load(), left)
}

// logOf is the numbers of a channel's log.
func logOf(t *testing.T, s *daemon, channel string) (list []int) {
	t.Helper()
	for before := uint64(0); ; {
		path := "/v1/channels/" + channel + "/history?limit=1000"
		if before > 0 {
			path += fmt.Sprint("&before=", before)
		}
		var page struct {
			Changes []struct {
				Seq  uint64
				Data int
			}
		}
		if status := s.call(t, e2eKey, "GET", path, "", &page); status != 200 {
			t.Fatal(channel, status)
		}
		var part []int
		for _, c := range page.Changes {
			part = append(part, c.Data)
		}
		list = append(part, list...)
		if len(page.Changes) == 0 || page.Changes[0].Seq == 1 {
			return list
		}
		before = page.Changes[0].Seq
	}
}

// inOrder checks that numbers are 1, 2, 3 and so on.
func inOrder(t *testing.T, whose string, list []int) {
	t.Helper()
	for i, n := range list {
		if n != i+1 {
			t.Fatalf("%s: %d stands at place %d", whose, n, i+1)
		}
	}
}

// TestE2EOutboxGuides runs what the guides say of the outbox, each below the framework that it is for, on PostgreSQL: what is committed is
// published, what is rolled back is not.
func TestE2EOutboxGuides(t *testing.T) {
	for page, run := range map[string][]string{
		"django":  {"/usr/bin/python3", "shop_django.py"},
		"rails":   {"ruby", "shop_rails.rb"},
		"laravel": {"php", "shop_laravel.php"},
	} {
		t.Run(page, func(t *testing.T) {
			t.Parallel()
			g := guide{page: page}
			if page == "laravel" {
				g.wrap = php
			}
			dir, pg := g.build(t), postgres(t)
			address, err := url.Parse(pg.URL())
			if err != nil {
				t.Fatal(err)
			}
			script := filepath.Join("testdata", "outbox", run[1])
			for name, text := range map[string]string{run[1]: readText(t, script), "weir_outbox.sql": ddl(t, "--open"),
				"weir.yaml": strings.ReplaceAll(readText(t, filepath.Join(dir, "weir.yaml")), "postgres://weir@db.example.com/shop", pg.URL())} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			env := []string{"WEIR_API_KEY=" + e2eKey, "WEIR_WEBHOOK_SECRET=" + exampleSecret, "WEIR_URL=http://127.0.0.1:9", "SESSION_SECRET=" + e2eKey, "PGHOST=" + address.Query().Get("host")}
			cmd := exec.Command(run[0], run[1:]...)
			cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			var channel string
			var order int
			if _, err := fmt.Sscan(string(out), &channel, &order); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			s := startRelay(t, env, "--config", filepath.Join(dir, "weir.yaml"))
			conn := pg.Connect(t)
			eventually(t, "empty outbox", func() bool {
				var n int
				if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM weir_outbox`).Scan(&n); err != nil {
					t.Fatal(err)
				}
				return n == 0
			})
			var got struct{ State json.RawMessage }
			s.call(t, e2eKey, "GET", "/v1/channels/"+channel, "", &got)
			if want := fmt.Sprintf(`{"orders":{"%d":{"id":%[1]d,"item":"book","state":"paid"}}}`, order); !sameJSON(t, string(got.State), want) {
				t.Errorf("%s is %s, want %s", channel, got.State, want)
			}
		})
	}
}

// sameJSON reports whether two texts say the same.
func sameJSON(t *testing.T, a, b string) bool {
	t.Helper()
	var x, y any
	if err := json.Unmarshal([]byte(a), &x); err != nil {
		t.Fatalf("%v: %s", err, a)
	}
	if err := json.Unmarshal([]byte(b), &y); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	return fmt.Sprint(x) == fmt.Sprint(y)
}
