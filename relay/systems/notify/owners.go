package notify

import (
	"encoding/json"
	"log/slog"
	"net/http"

	"weir/broker"
	"weir/relay/problem"
	"weir/relay/systems/internal/encode"
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
	data, _, ok := s.host.Broker().Item(ownersOf(id), groupOwners, id)
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
	if !s.host.Alone() {
		c := &claim{user, d.id}
		return s.at(ownersOf(d.id), callClaim, c, func() error { return s.claimHere(c) })
	}
	before := s.owner(d.id)
	if before == user {
		return nil
	}
	if _, err := s.host.Publish(ownersOf(d.id), &broker.Publication{Op: broker.Set, Group: groupOwners, Key: d.id, Data: encode.Line(user)}); err != nil {
		return err
	}
	if before == "" {
		return nil
	}
	_, err := s.host.Broker().Publish(devicesOf(before), &broker.Publication{Op: broker.Delete, Group: groupDevices, Key: d.id})
	return err
}

// disown removes the owner of a device, if that is the user.
func (s *System) disown(user, id string) {
	c := &claim{user, id}
	if err := s.at(ownersOf(id), callDisown, c, func() error { return s.disownHere(c) }); err != nil {
		s.log.Warn("owner of a removed device not removed", slog.String("error", err.Error()))
	}
}

// claim is a user and a device, for the node that knows whose the device is, and for the node of who had it.
type claim struct {
	User   string `json:"user"`
	Device string `json:"device"`
}

// claimHere has a device be a user's. Who had it loses it before: between the two it is nobody's.
func (s *System) claimHere(c *claim) error {
	channel := ownersOf(c.Device)
	if err := s.host.Broker().Load(channel); err != nil {
		return err
	}
	for {
		before := s.owner(c.Device)
		if before != "" && before != c.User {
			last := &claim{before, c.Device}
			if err := s.at(devicesOf(before), callAbandon, last, func() error { return s.abandonHere(last) }); err != nil {
				return err
			}
		}
		receipt, again, err := s.claimed(channel, before, c)
		if again {
			continue
		}
		if err == nil {
			_, err = receipt.Settle()
		}
		return err
	}
}

// claimed notes that a device is a user's, if it is still that of the user before.
func (s *System) claimed(channel, before string, c *claim) (receipt broker.Receipt, again bool, err error) {
	s.claims.Lock()
	defer s.claims.Unlock()
	if s.owner(c.Device) != before {
		return receipt, true, nil
	}
	receipt, err = s.host.SubmitOwned(channel, &broker.Publication{Op: broker.Set, Group: groupOwners, Key: c.Device, Data: encode.Line(c.User)})
	return receipt, false, err
}

// errTaken says that another user has registered a device.
var errTaken = problem.New(http.StatusConflict, "taken", "the device belongs to another user now", false)

// ownedHere returns errTaken if a device is not the user's.
func (s *System) ownedHere(c *claim) error {
	if err := s.host.Broker().Load(ownersOf(c.Device)); err != nil {
		return err
	}
	if s.owner(c.Device) != c.User {
		return errTaken
	}
	return nil
}

// kept makes sure that a device which was just stored is still the user's: who has registered it meanwhile may not have found it there.
func (s *System) kept(user string, d *device) error {
	if s.host.Alone() || d.Kind == kindWebhook {
		return nil
	}
	c := &claim{user, d.id}
	err := s.at(ownersOf(d.id), callOwned, c, func() error { return s.ownedHere(c) })
	if err == nil {
		return nil
	}
	if failed := s.abandonHere(c); failed != nil {
		return failed
	}
	if problem.Of(err).Code == problem.Of(errTaken).Code { // it was the user's for a moment
		return nil
	}
	return err
}

func (s *System) disownHere(c *claim) error {
	s.claims.Lock()
	defer s.claims.Unlock()
	if s.owner(c.Device) != c.User {
		return nil
	}
	return s.free(ownersOf(c.Device), &broker.Publication{Op: broker.Delete, Group: groupOwners, Key: c.Device, Ack: broker.AckMemory})
}

// abandonHere has a user not have a device any more.
func (s *System) abandonHere(c *claim) error {
	if err := s.host.Broker().Load(devicesOf(c.User)); err != nil {
		return err
	}
	return s.change(devicesOf(c.User), &broker.Publication{Op: broker.Delete, Group: groupDevices, Key: c.Device})
}
