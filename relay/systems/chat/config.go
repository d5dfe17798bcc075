package chat

// Config bounds what the chat keeps.
type Config struct {
	Members  int `yaml:"members" default:"1000" range:"2..10000"`     // of one room
	Messages int `yaml:"messages" default:"10000" range:"1..1000000"` // of one room, beyond which the oldest go
	Rooms    int `yaml:"rooms" default:"500" range:"1..100000"`       // that one user is a member of
}

// Key implements config.Section.
func (*Config) Key() string { return "chat" }
