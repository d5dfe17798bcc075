package chat

import (
	"strconv"
	"strings"

	"weir/broker"
	"weir/internal/wire"
	"weir/relay/cluster"
	"weir/relay/config"
	"weir/relay/systems/internal/items"
)

// The namespaces, and the groups within them.
const (
	roomNamespace  = "room"      // what members follow
	stateNamespace = "chat"      // rooms and messages
	indexNamespace = "chat-user" // which rooms a user is in

	groupRoom     = "room"
	groupMembers  = "members"
	groupDeleted  = "deleted"
	groupStarts   = "starts"
	groupMessages = "messages"
	groupRooms    = "rooms"
	groupTyping   = "typing"

	keyMeta = "meta"
)

// blockSize is how many positions of messages a channel holds.
const blockSize = 128

// reserve makes the namespaces of the state. How many rooms a user may be in is kept by the index: it holds no
// more items.
func (s *System) reserve() error {
	policy := config.Namespace{
		History: config.History{Size: new(int)}, Presence: new(bool), Durable: true,
		Limit: config.Bounds{Items: s.limit.Members + 2*(s.limit.Messages/blockSize) + 1000},
	}
	if err := s.host.Reserve(stateNamespace, policy); err != nil {
		return err
	}
	policy.Limit.Items = s.limit.Rooms
	return s.host.Reserve(indexNamespace, policy)
}

// The channels of a room, of a block of its messages, and of the rooms of a user.
func liveChannel(room string) string  { return roomNamespace + ":" + room }
func stateChannel(room string) string { return stateNamespace + ":room:" + room }
func indexChannel(user string) string { return indexNamespace + ":" + wire.UserKey(user) }
func blockChannel(room string, block uint64) string {
	return stateNamespace + ":log:" + room + ":" + strconv.FormatUint(block, 10)
}

// blockOf is the block of a position. Positions begin with 1.
func blockOf(position uint64) uint64 { return (position - 1) / blockSize }

// positionOf is the position that the id of a message from before begins with; false if it is no such id.
func positionOf(message string) (uint64, bool) {
	if isUUID(message) {
		return 0, false
	}
	digits, rest, ok := strings.Cut(message, "-")
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, ok && err == nil && n > 0 && rest != "" && wire.ValidName(message)
}

// place returns the key of a channel's node: all of a room is where the room is, and a user's index where the user is.
func place(channel string) string {
	rest := channel[len(wire.Namespace(channel))+1:]
	if wire.Namespace(channel) == indexNamespace {
		return wire.UserNamespace + ":" + rest
	}
	if room, ok := strings.CutPrefix(rest, "room:"); ok {
		return liveChannel(room)
	}
	if block, ok := strings.CutPrefix(rest, "log:"); ok {
		return liveChannel(block[:max(strings.LastIndexByte(block, ':'), 0)])
	}
	return ""
}

// validRoom reports whether a room could have this id.
func validRoom(id string) bool { return len(id) <= maxRoomID && wire.ValidName(id) }

// here returns cluster.ErrNotOwner if another node owns a room.
func (s *System) here(room string) error {
	if s.host.Elsewhere(stateChannel(room)) {
		return cluster.ErrNotOwner
	}
	return nil
}

// touch has a channel in memory, where it stays for a while: what uses it under a lock then does not wait for the disk.
func (s *System) touch(channel string) {
	if s.durable {
		_ = s.host.Broker().Load(channel) // what uses it then gets the error
	}
}

// put and remove change an item of the state. The receipt is waited for without a lock.
func (s *System) put(r *room, channel, group, key string, data []byte) (broker.Receipt, error) {
	return s.write(r, channel, &broker.Publication{Op: broker.Set, Group: group, Key: key, Data: data})
}

func (s *System) remove(r *room, channel, group, key string) (broker.Receipt, error) {
	return s.write(r, channel, &broker.Publication{Op: broker.Delete, Group: group, Key: key})
}

// write changes a channel of a room's state, unless that is another node's by now, which does not know what was read here.
func (s *System) write(r *room, channel string, p *broker.Publication) (broker.Receipt, error) {
	if r.lost.Load() {
		return broker.Receipt{}, cluster.ErrNotOwner
	}
	return s.host.SubmitOwned(channel, p)
}

// putMemory is put for what may be lost in a crash.
func (s *System) putMemory(r *room, channel, group, key string, data []byte) error {
	_, err := s.write(r, channel, &broker.Publication{Op: broker.Set, Group: group, Key: key, Data: data, Ack: broker.AckMemory})
	return err
}

// barrier returns a receipt for everything that was appended to a channel before.
func (s *System) barrier(r *room, channel string) (broker.Receipt, error) {
	return s.remove(r, channel, groupRoom, "none") // nothing of that name is ever there
}

// items calls f with each item of a channel's groups; see items.Each.
func (s *System) items(channel string, f func(group, key string, data []byte) error, groups ...string) error {
	return items.Each(s.host.Broker(), channel, f, groups...)
}
