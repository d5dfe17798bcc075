package notify

import (
	"cmp"
	"encoding/json"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"

	"weir/broker"
	"weir/internal/wire"
	"weir/relay/auth"
	"weir/relay/jsonbody"
	"weir/relay/problem"
	"weir/relay/systems/internal/encode"
	"weir/relay/systems/internal/items"
)

// Namespace is where devices are stored: those of a user in "notify:{user}", as items of the group "devices".
const Namespace = "notify"

const groupDevices = "devices"

// devicesOf returns the channel of a user's devices. The user is escaped as in their own channel.
func devicesOf(user string) string {
	return Namespace + strings.TrimPrefix(wire.UserChannel(user), wire.UserNamespace)
}

// list returns the devices of a user, those renewed longest ago first.
func (s *System) list(user string) []*device {
	var list []*device
	err := items.Each(s.host.Broker(), devicesOf(user), func(_, id string, data []byte) error {
		d := new(device)
		if json.Unmarshal(data, d) == nil {
			d.id = strings.Clone(id)
			if owner := s.owner(d.id); owner == "" || owner == user { // two may have registered it in one moment
				list = append(list, d)
			}
		}
		return nil
	}, groupDevices)
	if err != nil {
		s.log.Error("devices cannot be read", "error", err)
	}
	slices.SortStableFunc(list, func(a, b *device) int { return cmp.Compare(a.Renewed, b.Renewed) })
	return list
}

// forget removes a device that is gone. It returns false if the device was registered again since it was read.
func (s *System) forget(user string, d *device) bool {
	data, _, ok := s.host.Broker().Item(devicesOf(user), groupDevices, d.id)
	var now device
	if !ok || json.Unmarshal(data, &now) != nil || now.Renewed != d.Renewed {
		return false
	}
	return s.remove(user, d.id) == nil
}

func (s *System) remove(user, id string) error {
	_, err := s.host.Broker().Publish(devicesOf(user), &broker.Publication{Op: broker.Delete, Group: groupDevices, Key: id})
	if err == nil {
		s.disown(user, id)
	}
	return err
}

// handleRegister is POST /devices: 201 for a device that is new, 200 for one that is known.
func (s *System) handleRegister(ctx *fasthttp.RequestCtx, id *auth.Identity) error {
	var r registration
	if err := jsonbody.Read(ctx, &r); err != nil {
		return err
	}
	d, err := r.device(s.kinds, s.host.Config().DevLocal())
	if err != nil {
		return err
	}
	if err := s.host.Broker().Load(devicesOf(id.User)); err != nil {
		return err
	}
	status := http.StatusCreated
	d.Created = s.host.Now().UnixMilli()
	d.Renewed = d.Created
	secret := d.Secret
	for _, known := range s.list(id.User) {
		d.Renewed = max(d.Renewed, known.Renewed+1) // so that it is the latest also within a millisecond
		if known.id == d.id {
			status, secret = http.StatusOK, ""
			d.Created, d.Secret = known.Created, known.Secret
		}
	}
	if err := s.own(id.User, d); err != nil {
		return err
	}
	if _, err := s.host.Publish(devicesOf(id.User), &broker.Publication{Op: broker.Set, Group: groupDevices, Key: d.id, Data: encode.Line(d)}); err != nil {
		return err
	}
	list := s.list(id.User)
	for _, old := range list[:max(0, len(list)-s.config.Devices)] {
		if err := s.remove(id.User, old.id); err != nil {
			return err
		}
	}
	out := d.shown()
	out.Secret = secret
	return jsonbody.Write(ctx, status, out)
}

// handleDevices is GET /devices.
func (s *System) handleDevices(ctx *fasthttp.RequestCtx, id *auth.Identity) error {
	if err := s.host.Broker().Load(devicesOf(id.User)); err != nil {
		return err
	}
	list := make([]shown, 0, 4)
	for _, d := range s.list(id.User) {
		list = append(list, d.shown())
	}
	return jsonbody.Write(ctx, http.StatusOK, map[string]any{"devices": list})
}

// handleRemove is DELETE /devices/{id}.
func (s *System) handleRemove(ctx *fasthttp.RequestCtx, id *auth.Identity) error {
	key, _ := ctx.UserValue("id").(string)
	if err := s.host.Broker().Load(devicesOf(id.User)); err != nil {
		return err
	}
	if _, _, ok := s.host.Broker().Item(devicesOf(id.User), groupDevices, key); !ok {
		return notFound("no such device")
	}
	if err := s.remove(id.User, key); err != nil {
		return err
	}
	ctx.SetStatusCode(http.StatusNoContent)
	return nil
}

// handleRemoveAll is DELETE /devices, for a user who logs out everywhere.
func (s *System) handleRemoveAll(ctx *fasthttp.RequestCtx, id *auth.Identity) error {
	if err := s.host.Broker().Load(devicesOf(id.User)); err != nil {
		return err
	}
	list := s.list(id.User)
	for _, d := range list {
		if err := s.remove(id.User, d.id); err != nil {
			return err
		}
	}
	return jsonbody.Write(ctx, http.StatusOK, map[string]int{"removed": len(list)})
}

// handleVAPID is GET /devices/vapid: the key that a page subscribes to its push service with.
func (s *System) handleVAPID(ctx *fasthttp.RequestCtx, _ *auth.Identity) error {
	if s.vapid == nil {
		return notFound("web push is not configured")
	}
	return jsonbody.Write(ctx, http.StatusOK, map[string]string{"publicKey": s.vapid.Public})
}

func notFound(message string) error {
	return problem.New(http.StatusNotFound, "not_found", message, false)
}

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
	if s.owner(id) != user {
		return
	}
	if _, err := s.host.Broker().Publish(ownersOf(id), &broker.Publication{Op: broker.Delete, Group: groupOwners, Key: id, Ack: broker.AckMemory}); err != nil {
		s.log.Warn("owner of a removed device not removed", slog.String("error", err.Error()))
	}
}
