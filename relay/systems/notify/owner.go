package notify

import (
	"encoding/json"
	"log/slog"

	"weir/broker"
)

// A browser or a phone changes hands: somebody logs out and another user in, and the address stays the same. So
// that the one before is not told on it of what is theirs, an address belongs to the user who registered it last.
// Webhooks are exempt: theirs are not secret, and whoever guesses one must not take it away.

const groupOwners = "owners"

// ownersOf is the channel that knows whose a device is; there are 1024. No user's channel has such a name: in those,
// "=" stands before two hexadecimal digits.
func ownersOf(id string) string {
	const prefix = len("dev_")
	if len(id) < prefix+2 {
		return Namespace + ":=owner:" // not one of ours
	}
	return Namespace + ":=owner:" + id[prefix:prefix+2]
}

// owner is whose a device is; "" if nobody has said so.
func (s *System) owner(id string) string {
	data, _, ok := s.core.Broker().Item(ownersOf(id), groupOwners, id)
	var user string
	if !ok || json.Unmarshal(data, &user) != nil {
		return ""
	}
	return user
}

// own makes a device a user's, and takes it from whoever had it.
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

// disown forgets whose a device was, if it was the user's.
func (s *System) disown(user, id string) {
	if s.owner(id) != user {
		return
	}
	if _, err := s.core.Broker().Publish(ownersOf(id), &broker.Publication{Op: broker.Delete, Group: groupOwners, Key: id, Ack: broker.AckMemory}); err != nil {
		s.log.Warn("the owner of a device that is gone is still kept", slog.String("error", err.Error()))
	}
}
