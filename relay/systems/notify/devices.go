package notify

import (
	"cmp"
	"encoding/json"
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
			if s.host.Alone() { // among nodes, see claimHere
				if owner := s.owner(d.id); owner != "" && owner != user { // two may have registered it in one moment
					return nil
				}
			}
			list = append(list, d)
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
	err := s.free(devicesOf(user), &broker.Publication{Op: broker.Delete, Group: groupDevices, Key: id})
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
	if err := s.change(devicesOf(id.User), &broker.Publication{Op: broker.Set, Group: groupDevices, Key: d.id, Data: encode.Line(d)}); err != nil {
		return err
	}
	if err := s.kept(id.User, d); err != nil {
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
	if err := s.here(id.User); err != nil {
		return err
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
