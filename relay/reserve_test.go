package relay

import (
	"log/slog"
	"testing"

	"weir/broker"
	"weir/relay/config"
)

// keeper is a system that keeps a count in a channel of a namespace of its own.
type keeper struct{ host Host }

func (*keeper) Name() string { return "keeper" }

func (k *keeper) Start(host Host) error {
	k.host = host
	return host.Reserve("kept", config.Namespace{Durable: true})
}

func (*keeper) Close() {}

func TestSystemKeepsItsState(t *testing.T) {
	for _, dev := range []bool{false, true} {
		dir := t.TempDir()
		for _, want := range []string{"", "1"} {
			k := new(keeper)
			cfg := config.Config{Dev: dev, Data: dir, Auth: config.Auth{Keys: []config.TokenKey{{Algorithm: "HS256", Secret: tokenSecret}}}, API: config.API{Keys: []config.APIKey{{Name: "backend", Secret: "a-key-of-a-backend-in-the-tests"}}}}
			r, err := New(cfg, slog.New(slog.DiscardHandler), k)
			if err != nil {
				t.Fatal(err)
			}
			if !r.hub.Namespaces.Of("kept:1").Log.Durable || r.hub.Namespaces.Of("other:1").Log.Durable {
				t.Fatal("durable is not what was reserved")
			}
			if data, _, _ := r.hub.Broker.Item("kept:1", "", "n"); string(data) != want {
				t.Fatalf("found %q, want %q", data, want)
			}
			if _, err := k.host.Publish("kept:1", &broker.Publication{Key: "n", Data: []byte("1")}); err != nil {
				t.Fatal(err)
			}
			r.closeCore()
		}
	}
}

func TestSystemWithoutDataIsInMemory(t *testing.T) {
	k := new(keeper)
	r, err := New(config.Config{Dev: true}, slog.New(slog.DiscardHandler), k)
	if err != nil {
		t.Fatal(err)
	}
	defer r.closeCore()
	if r.hub.Namespaces.Of("kept:1").Log.Durable {
		t.Fatal("durable without a data directory")
	}
	if _, err := k.host.Publish("kept:1", &broker.Publication{Key: "n", Data: []byte("1")}); err != nil {
		t.Fatal(err)
	}
}
