package outbox

import (
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"weir/relay/config"
)

// Table is the name of a table.
type Table struct{ schema, name string } // schema "": the first of the search path

// ParseTable reads the name of a table, such as weir_outbox or app.weir_outbox. It returns an error if the text is not a name.
func ParseTable(text string) (Table, error) {
	schema, name, ok := strings.Cut(text, ".")
	if !ok {
		schema, name = "", text
	}
	if !identifier(name) || ok && !identifier(schema) {
		return Table{}, fmt.Errorf("%s is not a table: expected letters a-z, digits and underscores, such as weir_outbox or app.weir_outbox", config.Quote(text))
	}
	return Table{schema, name}, nil
}

// maxIdentifier leaves room for what DDL appends: PostgreSQL cuts names after 63 bytes.
const maxIdentifier = 48

// identifier reports whether a name needs no quotes but where it is a word of SQL.
func identifier(s string) bool {
	return s != "" && len(s) <= maxIdentifier && (s[0] < '0' || s[0] > '9') && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

// with returns the quoted name of something beside the table, whose name ends so.
func (t Table) with(suffix string) string {
	if t.schema == "" {
		return pgx.Identifier{t.name + suffix}.Sanitize()
	}
	return pgx.Identifier{t.schema, t.name + suffix}.Sanitize()
}

// sql is the name in quotes.
func (t Table) sql() string { return t.with("") }

// Options say what DDL leaves out or adds.
type Options struct {
	Open bool   // without BEGIN and COMMIT: whoever runs it has begun a transaction, as migrations have
	Poll bool   // without the trigger: the reader looks at the table, and commits do not notify it
	Role string // that is granted what a reader needs; "": none
}

// notifications is the channel of LISTEN. All outboxes of a database share it: who hears of another's looks once in vain.
const notifications = "weir_outbox"

// DDL returns the SQL that makes an outbox. The SQL may be run again, also on an outbox of an earlier version.
func DDL(t Table, o Options) string {
	index := pgx.Identifier{t.name + "_waiting"}.Sanitize()
	var b strings.Builder
	b.WriteString("-- Made by weir outbox ddl. It may be run again. Insert rows in the transaction that makes the change.\n")
	if !o.Open {
		b.WriteString("BEGIN;\n\n")
	}
	fmt.Fprintf(&b, `CREATE TABLE IF NOT EXISTS %[1]s (
  id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- the order of publication
  channel      text NOT NULL,
  op           text,        -- set, delete or send; without one: set if there is a key, send otherwise
  "group"      text,        -- of the item; without one: items
  key          text,        -- of the item that is set or deleted
  data         jsonb,
  ttl          bigint,      -- milliseconds that the item lives; without one: for ever
  traceparent  text,        -- W3C Trace Context of what has written the row
  created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
  published_at timestamptz, -- set by weir if outbox.retention keeps rows
  failed_at    timestamptz, -- set by weir if the row can never be published
  error        text         -- why; NULL in failed_at has it tried again
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_insert_scale_factor = 0);
ALTER TABLE %[1]s ADD COLUMN IF NOT EXISTS traceparent text;

-- What waits to be published.
CREATE INDEX IF NOT EXISTS %[2]s ON %[1]s (id) WHERE published_at IS NULL AND failed_at IS NULL;
`, t.sql(), index)
	trigger := pgx.Identifier{t.name + "_notify"}.Sanitize()
	if o.Poll {
		fmt.Fprintf(&b, "\n-- No notification: weir finds rows by looking every outbox.poll.\nDROP TRIGGER IF EXISTS %s ON %s;\n", trigger, t.sql())
	} else {
		fmt.Fprintf(&b, `
-- weir is told when a transaction with new rows commits. PostgreSQL lets transactions that notify commit one after the other: with
-- thousands of them a second, leave the trigger out (weir outbox ddl --poll).
CREATE OR REPLACE FUNCTION %[1]s() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('%[2]s', '');
  RETURN NULL;
END
$$;
DROP TRIGGER IF EXISTS %[3]s ON %[4]s;
CREATE TRIGGER %[3]s AFTER INSERT ON %[4]s FOR EACH STATEMENT EXECUTE FUNCTION %[1]s();
`, t.with("_notify"), notifications, trigger, t.sql())
	}
	if o.Role != "" {
		role := pgx.Identifier{o.Role}.Sanitize()
		fmt.Fprintf(&b, "\n-- What weir needs.\nGRANT SELECT, UPDATE, DELETE ON %s TO %s;\n", t.sql(), role)
		if t.schema != "" {
			fmt.Fprintf(&b, "GRANT USAGE ON SCHEMA %s TO %s;\n", pgx.Identifier{t.schema}.Sanitize(), role)
		}
	}
	if !o.Open {
		b.WriteString("\nCOMMIT;\n")
	}
	return b.String()
}
