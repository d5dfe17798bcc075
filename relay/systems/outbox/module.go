package outbox

import (
	"net/url"
	"time"

	"github.com/jackc/pgx/v5"

	"weir/relay"
	"weir/relay/config"
)

// Name is what logs and the configuration call the system. Its settings switch it on, not the list of systems.
const Name = "outbox"

// Module returns the system for the list of the binary.
func Module() relay.Module {
	return relay.Module{
		System: config.System{
			Name:        Name,
			Distributed: true,
			On:          func(c *config.Config) bool { return config.Of[Config](c).Postgres != "" },
			Section:     func() config.Section { return new(Config) },
			Check:       check,
		},
		New: func() relay.System { return New() },
		Metrics: []relay.Metric{
			{Name: "weir_outbox_published_total", Type: relay.Counter, Help: "Rows of the outbox that were published, repetitions after a crash included."},
			{Name: "weir_outbox_failed_total", Type: relay.Counter, Help: "Rows that can never be published, and were set aside with the reason."},
			{Name: "weir_outbox_retries_total", Type: relay.Counter, Help: "Attempts to publish a row that were refused for now."},
			{Name: "weir_outbox_errors_total", Type: relay.Counter, Help: "Connections to the database that failed or broke."},
			{Name: "weir_outbox_reading", Type: relay.Gauge, Help: "1 while this process reads the outbox; 0 while another one does, or the database is gone."},
			{Name: "weir_outbox_connected", Type: relay.Gauge, Help: "1 while this process is connected to the database of the outbox. Of a cluster only the node that reads is."},
			{Name: "weir_outbox_lag_seconds", Type: relay.Gauge, Help: "How old the oldest row is that waits to be published, by the clock of the database; 0 if none waits."},
			{Name: "weir_outbox_held_channels", Type: relay.Gauge, Help: "Channels whose rows wait because one was refused for now."},
			{Name: "weir_outbox_blocked_seconds", Type: relay.Gauge, Help: "For how long rows have waited for a transaction that wrote to the outbox before them and is still open."},
		},
	}
}

// Config is the section "outbox".
type Config struct {
	Postgres  string         `yaml:"postgres"`                                  // address of the database; "": there is no outbox
	Table     string         `yaml:"table" default:"weir_outbox"`               // or schema.table
	Batch     int            `yaml:"batch" default:"500" range:"1..10000"`      // rows that are read, published and deleted together
	Poll      time.Duration  `yaml:"poll" default:"1s" range:"50ms..1m"`        // how often the table is looked at where no notification comes
	Retention *time.Duration `yaml:"retention" default:"0s" range:"0s..8760h"`  // how long rows are kept once they are published; 0: they are deleted
	Timeout   time.Duration  `yaml:"timeout" default:"30s" range:"1s..10m"`     // of one statement, and of connecting
	Takeover  time.Duration  `yaml:"takeover" default:"10s" range:"100ms..10m"` // in a cluster: for how long a lock is waited for that another node holds and should not; then its session is ended
}

// Key implements config.Section.
func (*Config) Key() string { return Name }

// check checks the section. It shows no part of the address, which holds a password.
func check(c *config.Config, k *config.Checks) {
	o := config.Of[Config](c)
	if _, err := ParseTable(o.Table); err != nil {
		k.Add("outbox.table", "%s", err)
	}
	if o.Postgres == "" {
		return
	}
	u, err := url.Parse(o.Postgres)
	switch {
	case err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql":
		k.Add("outbox.postgres", "not an address of PostgreSQL: expected one such as postgres://user:password@db.example.com/shop")
	case u.Query().Has("password"):
		k.Add("outbox.postgres", "holds the password as a parameter, which would be shown: expected postgres://user:password@..., or the variable PGPASSWORD")
	default:
		if _, err := pgx.ParseConfig(o.Postgres); err != nil {
			k.Add("outbox.postgres", "not an address of PostgreSQL: one of its parameters is invalid")
		}
	}
}
