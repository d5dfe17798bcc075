package nats_test

import (
	"errors"
	"testing"
	"time"

	"weir/internal/mesh/nats"
)

// Servers say to a user of their system account whether they sync, and to others nothing.
func TestServers(t *testing.T) {
	accounts := "\naccounts {A {jetstream: enabled, users: [{user: a, password: a}]}, SYS {users: [{user: s, password: s}]}}\nsystem_account: SYS"
	for _, x := range []struct {
		sync string
		want nats.Server
	}{
		{"always", nats.Server{Name: "one", Always: true}},
		{`"10s"`, nats.Server{Name: "one", Interval: 10 * time.Second}},
	} {
		_, address := start(t, "server_name: one\njetstream {sync_interval: "+x.sync+"}"+accounts)
		list, err := nats.Servers(t.Context(), nats.Config{Servers: []string{"nats://s:s@" + address}})
		if len(list) == 1 && x.want.Always {
			list[0].Interval = 0
		}
		if err != nil || len(list) != 1 || list[0] != x.want {
			t.Errorf("%+v %v", list, err)
		}
		if list, err := nats.Servers(t.Context(), nats.Config{Servers: []string{"nats://a:a@" + address}}); !errors.Is(err, nats.ErrNoSystem) {
			t.Errorf("to others: %+v %v", list, err)
		}
	}
}
