package config

// Chat bounds what the chat keeps.
type Chat struct {
	Members  int `yaml:"members"`  // of one room; 1000
	Messages int `yaml:"messages"` // of one room, beyond which the oldest go; 10000
	Rooms    int `yaml:"rooms"`    // that one user is a member of; 500
}

func fillChat(c Chat) Chat {
	set(&c.Members, 1000)
	set(&c.Messages, 10_000)
	set(&c.Rooms, 500)
	return c
}
