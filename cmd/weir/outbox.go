package main

import (
	"fmt"

	"weir/relay/systems/outbox"
)

type outboxCommands struct {
	DDL outboxDDLCommand `cmd:"" name:"ddl" help:"Print the SQL that makes an outbox: table, index and trigger."`
}

type outboxDDLCommand struct {
	Table string `default:"weir_outbox" placeholder:"NAME" help:"The table, or SCHEMA.TABLE, as in outbox.table. Default: weir_outbox."`
	Poll  bool   `help:"Leave out the trigger: transactions do not notify weir, which looks every outbox.poll instead."`
	Open  bool   `help:"Leave out BEGIN and COMMIT, for a migration, which has a transaction of its own."`
	Role  string `placeholder:"NAME" help:"Grant what weir needs to this role, which has to be there."`
}

// Help is the detailed help of the command.
func (outboxDDLCommand) Help() string {
	return "For psql: weir outbox ddl | psql shop. Or put it into a migration, with --open. It may be run again, also after an update of weir."
}

// Run prints the SQL.
func (c *outboxDDLCommand) Run(p *program) error {
	table, err := outbox.ParseTable(c.Table)
	if err != nil {
		return wrongf("--table: %s", err)
	}
	_, err = fmt.Fprint(p.stdout, outbox.DDL(table, outbox.Options{Open: c.Open, Poll: c.Poll, Role: c.Role}))
	return err
}
