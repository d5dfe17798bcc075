package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"weir/internal/pause"
)

// reader is the outbox on one connection. It belongs to the system's goroutine.
type reader struct {
	system   *System
	table    *table
	order    order
	holds    holds
	done     int64     // up to it all was published, set aside, or is held; it goes back to unknown when the table is to be read from its beginning
	high     int64     // the highest that was published
	most     int       // rows of the next batch
	notified bool      // a notification has come since the table was last looked at
	missed   bool      // one has come, and there was no row where new ones are
	whole    time.Time // when the table was last read from its beginning
	expired  time.Time // when old rows were last deleted
}

// wholeEvery is how often the table is read from its beginning: for rows that were put back, and ids that begin anew. Between that
// it is read from where all before is done, past what PostgreSQL has not cleaned up yet.
var wholeEvery = 10 * time.Second // set by tests only

func (r *reader) now() time.Time { return time.Now() }

// read reads the outbox until ctx is done or the node no longer owns it: then it returns nil. Errors: the database is gone, or the table is not as it should be.
func (s *System) read(ctx context.Context) error {
	r := &reader{system: s, holds: make(holds), order: order{floor: unknown}, done: unknown, high: unknown, most: s.config.Batch}
	conn, err := r.connect(ctx)
	if err != nil {
		return err
	}
	s.counters.connected.Store(true)
	defer func() {
		s.counters.connected.Store(false)
		s.counters.reading.Store(false)
		s.counters.held.Store(0)
		s.counters.blocked.Store(0)
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
		defer cancel()
		_ = conn.Close(end)
	}()
	if err := r.open(ctx, conn); err != nil {
		return err
	}
	if locked, err := r.lock(ctx); err != nil || !locked {
		return err
	}
	if s.trouble {
		s.trouble = false
		delete(s.told, "trouble")
	}
	s.counters.reading.Store(true)
	s.host.Log().Info("this process reads the outbox", slog.String("table", r.table.name))
	if err := r.finish(ctx, &s.unfinal); err != nil { // what a connection before this one has published
		return err
	}
	return r.follow(ctx)
}

// connect opens the connection. Notifications leave a flag only: there may be any number of them.
func (r *reader) connect(ctx context.Context) (*pgx.Conn, error) {
	c, err := pgx.ParseConfig(r.system.config.Postgres)
	if err != nil {
		return nil, fmt.Errorf("outbox.postgres: %w", err) // without the password
	}
	c.OnNotification = func(*pgconn.PgConn, *pgconn.Notification) { r.notified = true }
	for name, value := range map[string]string{"application_name": r.system.session, "timezone": "UTC", // so that a host that is gone is noticed, and its locks are let go:
		"tcp_keepalives_idle": "10", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3", "tcp_user_timeout": "20000"} {
		if _, set := c.RuntimeParams[name]; !set {
			c.RuntimeParams[name] = value
		}
	}
	ctx, cancel := context.WithTimeout(ctx, r.system.config.Timeout)
	defer cancel()
	return pgx.ConnectConfig(ctx, c)
}

// open looks at the table, and asks to be told of new rows.
func (r *reader) open(ctx context.Context, conn *pgx.Conn) (err error) {
	ctx, cancel := context.WithTimeout(ctx, r.system.config.Timeout)
	defer cancel()
	r.table, err = openTable(ctx, conn, r.system.name, int(r.system.host.Config().Limit.Message))
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "LISTEN "+notifications)
	return err
}

// lock waits for the lock of the one who reads. It returns false if another node owns the outbox by then. Errors: the database is gone.
func (r *reader) lock(ctx context.Context) (bool, error) {
	s := r.system
	for begun := r.now(); ; _ = pause.For(ctx, min(s.config.Poll, s.config.Takeover/4)) {
		if !s.mine() || ctx.Err() != nil {
			return false, nil
		}
		ok, err := query(ctx, s.config.Timeout, r.table.lock)
		if err != nil || ok {
			return ok, err
		}
		if s.host.Alone() || r.now().Sub(begun) < s.config.Takeover {
			s.tell(slog.LevelWarn, "another process reads the outbox: this relay waits until that process ends", "standby", time.Minute, slog.String("table", r.table.name))
			continue
		}
		n, err := query(ctx, s.config.Timeout, func(ctx context.Context) (int, error) { return r.table.evict(ctx, s.session) })
		if err != nil {
			return false, err
		}
		s.host.Log().Warn("a node that no longer owns the outbox still read it: its sessions at the database were ended", slog.Int("sessions", n))
		begun = r.now()
	}
}

// query does something with the database within a time.
func query[T any](ctx context.Context, most time.Duration, f func(ctx context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	return f(ctx)
}

// follow publishes rows as they come.
func (r *reader) follow(ctx context.Context) error {
	for ctx.Err() == nil && r.system.mine() {
		busy, err := r.step(ctx)
		if err == nil && !busy {
			if err = r.expire(ctx); err == nil {
				err = r.wait(ctx)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// step reads, publishes and removes one batch. It reports whether there is more to do at once.
func (r *reader) step(ctx context.Context) (busy bool, err error) {
	s, now := r.system, r.now()
	due := r.holds.due(now)
	if len(r.holds) >= maxHeld && !due {
		return false, nil
	}
	heard := r.notified
	if r.notified = false; due || now.Sub(r.whole) >= wholeEvery || r.missed && now.Sub(r.whole) >= s.config.Poll {
		r.done, r.whole, r.missed = unknown, now, false
	}
	rows, err := r.waiting(ctx, due)
	if err != nil {
		return false, err
	}
	r.age(rows, now)
	if len(rows) == 0 {
		r.order.barrier = nil
		s.counters.blocked.Store(0)
		r.missed = r.missed || heard
		return false, nil
	}
	if rows[0].id <= r.high && len(r.holds) == 0 {
		r.order, r.high = order{floor: unknown}, unknown // ids begin anew, or a row was put back
	}
	n := r.order.settled(rows)
	if n > 0 {
		o := r.publish(rows[:n])
		r.done, r.high = rows[n-1].id, max(r.high, rows[n-1].id)
		s.counters.held.Store(int64(len(r.holds)))
		if err := r.finish(ctx, o); err != nil {
			return false, err
		}
	}
	if n == len(rows) {
		s.counters.blocked.Store(0)
		return true, nil
	}
	return r.blocked(ctx, rows[len(rows)-1].id, now)
}

// waiting reads the next rows. While rows wait for a transaction, only the first one is read unless it is the one that all wait for.
func (r *reader) waiting(ctx context.Context, due bool) (rows []row, err error) {
	read := func(most int) ([]row, error) {
		return query(ctx, r.system.config.Timeout, func(ctx context.Context) ([]row, error) {
			return r.table.waiting(ctx, r.done, r.holds.channels(), most)
		})
	}
	if r.order.barrier != nil && !due {
		if rows, err = read(1); err != nil || len(rows) == 0 || rows[0].id > r.order.floor+1 {
			return rows, err
		}
	}
	if rows, err = read(r.most); err != nil {
		return nil, err
	}
	bytes := 0
	for i := range rows {
		bytes += len(rows[i].data)
	}
	if r.most = min(2*r.most, r.system.config.Batch); bytes > maxBatchBytes/2 {
		r.most = min(r.most, 2*len(rows)) // the database would look at more of them in vain
	}
	return rows, nil
}

// age notes how old the oldest row is that waits.
func (r *reader) age(rows []row, now time.Time) {
	var at int64
	if len(rows) > 0 {
		at = r.system.host.Now().Add(-rows[0].age).UnixNano()
	}
	r.system.counters.oldest.Store(at)
}

// blocked looks whether rows up to this one are settled. It reports true if they are to be read again at once.
func (r *reader) blocked(ctx context.Context, upto int64, now time.Time) (passed bool, err error) {
	s := r.system
	passed, err = query(ctx, s.config.Timeout, func(ctx context.Context) (bool, error) { return r.order.look(ctx, r.table, upto, now) })
	b := r.order.barrier
	if err != nil || b == nil {
		s.counters.blocked.Store(0)
		return passed, err
	}
	s.counters.blocked.Store(s.host.Now().Add(-now.Sub(b.since)).UnixNano())
	if now.Sub(b.since) > 10*time.Second {
		s.tell(slog.LevelWarn, "rows wait for a transaction that has written to the outbox before them and is still open", "blocked", time.Minute,
			slog.Duration("for", now.Sub(b.since).Round(time.Second)), slog.Int("transactions", len(b.open)))
	}
	return false, nil
}

// finish takes note in the table of what was done with rows. What it cannot note now, the next connection does first.
func (r *reader) finish(ctx context.Context, o *outcome) error {
	s := r.system
	s.unfinal = *o
	most := s.config.Timeout
	if ctx.Err() != nil {
		most = lastWords
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), most) // a shutdown need not make rows come again
	defer cancel()
	if err := r.table.finish(ctx, o, *s.config.Retention > 0); err != nil {
		return err
	}
	s.unfinal = outcome{}
	return nil
}

// expire deletes rows that were kept for long enough.
func (r *reader) expire(ctx context.Context) error {
	keep := *r.system.config.Retention
	if keep == 0 || r.now().Sub(r.expired) < min(time.Minute, keep) {
		return nil
	}
	more, err := query(ctx, r.system.config.Timeout, func(ctx context.Context) (bool, error) { return r.table.expire(ctx, keep) })
	if !more {
		r.expired = r.now()
	}
	return err
}

// wait waits until there may be something to do.
func (r *reader) wait(ctx context.Context) error {
	if r.notified {
		return nil
	}
	most := min(r.system.config.Poll, wholeEvery-r.now().Sub(r.whole))
	if at := r.holds.next(); !at.IsZero() {
		most = min(most, at.Sub(r.now()))
	}
	if b := r.order.barrier; b != nil {
		most = min(most, b.pause)
	}
	timed, cancel := context.WithTimeout(ctx, max(most, time.Millisecond))
	defer cancel()
	err := r.table.conn.PgConn().WaitForNotification(timed)
	if err != nil && timed.Err() != nil && (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || pgconn.Timeout(err)) {
		return nil
	}
	return err
}
