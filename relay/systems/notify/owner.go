package notify

import (
	"encoding/json"
	"log/slog"

	"weir/broker"
)

// A browser or a phone changes hands: one user logs out and another one in, and the address stays the same. An address
// belongs to the user who registered it last, so that it does not show what is for the user before. Webhooks are exempt:
// their addresses are not secret, and a user who guesses one must not take it away.

const groupOwners = "owners"

// ownersOf returns the channel that has the owner of a device; there are 1024. No user's channel has such a name: in those,
// "=" stands before two hexadecimal digits.
func ownersOf(id string) string {
	const prefix = len("dev_")
	if len(id) < prefix+2 {
		return Namespace + ":=owner:" // not an id of a device
	}
	return Namespace + ":=owner:" + id[prefix:prefix+2]
}

// owner returns the user that a device belongs to; "" if there is none.
func (s *System) owner(id string) string {
	data, _, ok := s.core.Broker().Item(ownersOf(id), groupOwners, id)
	var user string
	if !ok || json.Unmarshal(data, &user) != nil {
		return ""
	}
	return user
}

// own gives a device to a user, and removes it from the user who had it.
func (s *System) own(user string, d *device) error {
	if d.Kind == kindWebhook {
		return nil
	}
	before := s.owner(d.id)
	if before == user {
		return nil
	}
	if _, err := s.core.Publish(ownersOf(d.id), &broker.Publication{Op: broker.Set, Group: groupOwners, Key: d.id, Data: encode(user)}); err != nil {
		return err
	}
	if before == "" {
		return nil
	}
	_, err := s.core.Broker().Publish(devicesOf(before), &broker.Publication{Op: broker.Delete, Group: groupDevices, Key: d.id})
	return err
}

// disown removes the owner of a device, if that is the user.
func (s *System) disown(user, id string) {
	if s.owner(id) != user {
		return
	}
	if _, err := s.core.Broker().Publish(ownersOf(id), &broker.Publication{Op: broker.Delete, Group: groupOwners, Key: id, Ack: broker.AckMemory}); err != nil {
		s.log.Warn("owner of a removed device not removed", slog.String("error", err.Error()))
	}
}
