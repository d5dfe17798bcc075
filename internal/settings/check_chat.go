package settings

import "weir/relay/config"

// chat checks the bounds of rooms.
func (k *check) chat(c config.Chat) {
	k.count("chat.members", c.Members, 2, 10_000)
	k.count("chat.messages", c.Messages, 1, 1_000_000)
	k.count("chat.rooms", c.Rooms, 1, 100_000)
}
