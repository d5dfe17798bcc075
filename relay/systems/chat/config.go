package chat

import "weir/relay/config"

// Config bounds what the chat keeps.
type Config struct {
	Members  int `yaml:"members"`  // of one room; 1000
	Messages int `yaml:"messages"` // of one room, beyond which the oldest go; 10000
	Rooms    int `yaml:"rooms"`    // that one user is a member of; 500
}

// Key implements config.Section.
func (*Config) Key() string { return "chat" }

// Fill implements config.Section.
func (c *Config) Fill(bool) {
	config.Set(&c.Members, 1000)
	config.Set(&c.Messages, 10_000)
	config.Set(&c.Rooms, 500)
}

// check checks the bounds of rooms.
func check(cfg *config.Config, k *config.Checks) {
	c := config.Of[Config](cfg)
	k.Count("chat.members", c.Members, 2, 10_000)
	k.Count("chat.messages", c.Messages, 1, 1_000_000)
	k.Count("chat.rooms", c.Rooms, 1, 100_000)
}
