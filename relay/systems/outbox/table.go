package outbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// table is what is asked of the database about one outbox.
type table struct {
	conn  *pgx.Conn
	oid   uint32
	name  string // with its schema, for keys and logs
	sql   queries
	limit int // bytes of the largest message
}

// queries are the statements, with the table's name.
type queries struct{ scan, delete, mark, fail, expire string }

// row is one row that waits.
type row struct {
	id          int64
	channel     string
	op          string
	group       string
	key         string
	data        []byte // nil: there is none, or it is too large
	size        int
	ttl         int64 // ms
	traceparent string
	created     time.Time
	age         time.Duration
}

// maxBatchBytes bounds what one batch holds of data. A larger row comes alone.
const maxBatchBytes = 8 << 20

// columns are those that a table must have.
var columns = []string{"id", "channel", "op", "group", "key", "data", "ttl", "traceparent", "created_at", "published_at", "failed_at", "error"}

// wrongTable is a table that cannot be read as it is: an operator has to change it.
type wrongTable struct{ text string }

func (e *wrongTable) Error() string { return e.text }

func wrongf(format string, args ...any) error { return &wrongTable{fmt.Sprintf(format, args...)} }

// openTable looks at the table. Errors: *wrongTable, and those of the database.
func openTable(ctx context.Context, conn *pgx.Conn, t Table, limit int) (*table, error) {
	x := &table{conn: conn, limit: limit}
	var have []string
	var cache int64
	var standby bool
	err := conn.QueryRow(ctx, `SELECT c.oid, n.nspname || '.' || c.relname, array_agg(a.attname::text),
		coalesce((SELECT s.seqcache FROM pg_sequence s JOIN pg_depend d ON d.objid = s.seqrelid AND d.classid = 'pg_class'::regclass
			JOIN pg_attribute i ON i.attrelid = d.refobjid AND i.attnum = d.refobjsubid
			WHERE d.refobjid = c.oid AND d.refclassid = 'pg_class'::regclass AND i.attname = 'id' LIMIT 1), 1), pg_is_in_recovery()
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
		WHERE c.oid = to_regclass($1) GROUP BY c.oid, n.nspname, c.relname`, t.sql()).Scan(&x.oid, &x.name, &have, &cache, &standby)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, wrongf("there is no table %s: make it with weir outbox ddl", t.sql())
	}
	if err != nil {
		return nil, fmt.Errorf("look at the table: %w", err)
	}
	missing := slices.DeleteFunc(slices.Clone(columns), func(c string) bool { return slices.Contains(have, c) })
	switch {
	case len(missing) > 0:
		return nil, wrongf("the table %s has no column %s: run weir outbox ddl on it", x.name, strings.Join(missing, ", "))
	case cache > 1:
		return nil, wrongf("the sequence of %s.id hands out %d ids at once, so that ids say nothing about the order: ALTER TABLE %s ALTER COLUMN id SET CACHE 1", x.name, cache, t.sql())
	case standby:
		return nil, errors.New("the database is a standby: expected the primary (several hosts with target_session_attrs=read-write find it)")
	}
	x.sql = queries{
		// Of data that is too large only the size is read. A sum of sizes ends the batch where it would hold too much.
		scan: fmt.Sprintf(`SELECT id, channel, op, "group", key, CASE WHEN size <= $4 THEN data END, size, ttl, traceparent, created_at, age FROM (
			SELECT s.*, sum(least(size, $4)) OVER (ORDER BY id) AS upto FROM (
				SELECT id, channel, coalesce(op, '') AS op, coalesce("group", '') AS "group", coalesce(key::text, '') AS key, data, coalesce(octet_length(data), 0) AS size,
					coalesce(ttl, 0) AS ttl, coalesce(traceparent, '') AS traceparent, created_at, greatest(extract(epoch FROM clock_timestamp() - created_at), 0)::float8 AS age FROM (
					SELECT id, channel::text, op, "group"::text, key, data::text AS data, ttl, traceparent, created_at FROM %s
					WHERE published_at IS NULL AND failed_at IS NULL AND id > $1 AND channel <> ALL($2) ORDER BY id LIMIT $3) waiting) s) w
			WHERE upto <= %d OR upto = least(size, $4) ORDER BY id`, t.sql(), maxBatchBytes),
		delete: fmt.Sprintf(`DELETE FROM %s t USING unnest($1::bigint[], $2::timestamptz[]) AS p(id, created) WHERE t.id = p.id AND t.created_at = p.created`, t.sql()),
		mark:   fmt.Sprintf(`UPDATE %s t SET published_at = clock_timestamp() FROM unnest($1::bigint[], $2::timestamptz[]) AS p(id, created) WHERE t.id = p.id AND t.created_at = p.created`, t.sql()),
		fail:   fmt.Sprintf(`UPDATE %s t SET failed_at = clock_timestamp(), error = f.error FROM unnest($1::bigint[], $2::text[]) AS f(id, error) WHERE t.id = f.id`, t.sql()),
		expire: fmt.Sprintf(`DELETE FROM %[1]s WHERE id IN (SELECT id FROM %[1]s WHERE published_at < clock_timestamp() - make_interval(secs => $1) ORDER BY id LIMIT 5000)`, t.sql()),
	}
	return x, nil
}

// lockSpace is the first half of the key of the advisory lock; the second one is the table's oid.
const lockSpace = 0x77656972 // "weir"

// lock takes the lock of the one who reads, if nobody has it.
func (x *table) lock(ctx context.Context) (ok bool, err error) {
	err = x.conn.QueryRow(ctx, `SELECT pg_try_advisory_lock($1::int4, $2::int8::oid::int4)`, lockSpace, int64(x.oid)).Scan(&ok)
	return ok, err
}

// evict ends sessions that hold the lock under the name of an application, and returns how many there were.
func (x *table) evict(ctx context.Context, application string) (n int, err error) {
	err = x.conn.QueryRow(ctx, `SELECT count(*) FILTER (WHERE pg_terminate_backend(l.pid)) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
		WHERE l.locktype = 'advisory' AND l.granted AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
		AND l.classid = $1::int8::oid AND l.objid = $2::int8::oid AND l.objsubid = 2 AND a.application_name = $3 AND l.pid <> pg_backend_pid()`,
		int64(lockSpace), int64(x.oid), application).Scan(&n)
	return n, err
}

// waiting returns the first rows, so many at most, above an id that are of none of those channels, in the order of their ids.
func (x *table) waiting(ctx context.Context, above int64, except []string, most int) ([]row, error) {
	rows, err := x.conn.Query(ctx, x.sql.scan, above, except, most, x.limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (w row, err error) {
		var age float64
		err = r.Scan(&w.id, &w.channel, &w.op, &w.group, &w.key, &w.data, &w.size, &w.ttl, &w.traceparent, &w.created, &age)
		w.age = time.Duration(age * float64(time.Second))
		return w, err
	})
}

// writers returns the transactions that are open and write to the table, and how many prepared ones there are, which have another name than
// before they were prepared.
func (x *table) writers(ctx context.Context) (open map[string]bool, prepared int, err error) {
	rows, err := x.conn.Query(ctx, `SELECT virtualtransaction, pid IS NULL FROM pg_locks WHERE locktype = 'relation' AND relation = $1::int8::oid
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
		AND mode = 'RowExclusiveLock' AND granted AND pid IS DISTINCT FROM pg_backend_pid()`, int64(x.oid))
	if err != nil {
		return nil, 0, err
	}
	open = make(map[string]bool)
	var name string
	var is bool
	_, err = pgx.ForEachRow(rows, []any{&name, &is}, func() error {
		if is {
			prepared++
		}
		open[name] = true
		return nil
	})
	return open, prepared, err
}

// finish removes rows that were published, or marks them, and sets others aside, in one transaction.
func (x *table) finish(ctx context.Context, o *outcome, keep bool) error {
	if o.empty() {
		return nil
	}
	var b pgx.Batch
	if len(o.published) > 0 {
		remove := x.sql.delete
		if keep {
			remove = x.sql.mark
		}
		b.Queue(remove, o.published, o.created)
	}
	if len(o.failed) > 0 {
		b.Queue(x.sql.fail, o.failed, o.reasons)
	}
	return x.conn.SendBatch(ctx, &b).Close()
}

// expire deletes some of the rows that were published so long ago. It reports whether there may be more.
func (x *table) expire(ctx context.Context, age time.Duration) (more bool, err error) {
	tag, err := x.conn.Exec(ctx, x.sql.expire, age.Seconds())
	return tag.RowsAffected() == 5000, err
}

// outcome is what became of rows and is not in the table yet.
type outcome struct {
	published []int64
	created   []time.Time // when those were: an id may have begun anew meanwhile
	failed    []int64
	reasons   []string // of those that failed
}

func (o *outcome) empty() bool { return len(o.published) == 0 && len(o.failed) == 0 }
