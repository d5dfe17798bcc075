package chat

import (
	"weir/relay"
	"weir/relay/config"
)

// Name is what the configuration calls the system.
const Name = "chat"

// Module is the system as the binary lists it.
func Module() relay.Module {
	return relay.Module{
		System: config.System{
			Name:       Name,
			Section:    func() config.Section { return new(Config) },
			Namespaces: []string{stateNamespace},
		},
		New: func() relay.System { return New() },
		Metrics: []relay.Metric{
			{Name: "weir_chat_rooms_loaded", Type: relay.Gauge, Help: "Rooms in memory."},
			{Name: "weir_chat_messages_total", Type: relay.Counter, Help: "Messages that were taken."},
			{Name: "weir_chat_typing", Type: relay.Gauge, Help: "Users who are typing in a room, or have just been."},
		},
	}
}

// Config bounds what the chat keeps.
type Config struct {
	Members  int `yaml:"members" default:"1000" range:"2..10000"`     // of one room
	Messages int `yaml:"messages" default:"10000" range:"1..1000000"` // of one room, beyond which the oldest go
	Rooms    int `yaml:"rooms" default:"500" range:"1..100000"`       // that one user is a member of
}

func (*Config) Key() string { return "chat" }
