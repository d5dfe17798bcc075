package chat

import (
	"cmp"
	"errors"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"

	"weir/internal/wire"
	"weir/relay/auth"
)

// The bounds of a page of rooms or messages.
const (
	defaultPage = 50
	maxPage     = 100
)

// pageSize is the parameter limit.
func pageSize(ctx *fasthttp.RequestCtx) (int, error) {
	n, set, err := number(ctx, "limit")
	switch {
	case err != nil || set && (n < 1 || n > maxPage):
		return 0, wrong("limit", "must be 1 to 100")
	case !set:
		return defaultPage, nil
	}
	return int(n), nil
}

// entry is a room in a user's index.
type entry struct{ room, joined string }

// cursor is the entry as next in a page.
func (e entry) cursor() string { return e.joined + "~" + e.room }

// compareEntries puts the room that was joined last first.
func compareEntries(a, b entry) int {
	return cmp.Or(strings.Compare(b.joined, a.joined), strings.Compare(a.room, b.room))
}

// listRooms is GET /chat/rooms: those that the user is a member of, the one joined last first.
func (s *System) listRooms(ctx *fasthttp.RequestCtx, id *auth.Identity) error {
	limit, err := pageSize(ctx)
	if err != nil {
		return err
	}
	entries, err := s.entries(id.User)
	if err != nil {
		return err
	}
	if after := string(ctx.QueryArgs().Peek("after")); after != "" {
		joined, room, ok := strings.Cut(after, "~")
		if !ok {
			return wrong("after", "must be what an earlier page has as next")
		}
		i, found := slices.BinarySearchFunc(entries, entry{room, joined}, compareEntries)
		if found {
			i++
		}
		entries = entries[i:]
	}
	views := make([]roomView, 0, min(limit, len(entries)))
	next := ""
	for i, e := range entries {
		if len(views) == limit {
			next = entries[i-1].cursor()
			break
		}
		v, ok, err := s.summary(e.room, id.User)
		if err != nil {
			return err
		}
		if ok {
			views = append(views, v)
		}
	}
	body := struct {
		Rooms []roomView `json:"rooms"`
		Next  string     `json:"next,omitempty"`
	}{views, next}
	return answer(ctx, fasthttp.StatusOK, marshal(body))
}

// entries are the rooms of a user, the one joined last first.
func (s *System) entries(user string) ([]entry, error) {
	var list []entry
	err := s.items(indexChannel(user), func(_, room string, data []byte) error {
		joined, err := wire.Text(data)
		list = append(list, entry{room, joined})
		return err
	}, groupRooms)
	slices.SortFunc(list, compareEntries)
	return list, err
}

// summary is a room as a list of a member's rooms has it; false if the index is wrong about that, which it is
// after a crash at most, and then no longer.
func (s *System) summary(room, user string) (v roomView, ok bool, err error) {
	r, err := s.rooms.hold(room)
	if errors.Is(err, errNoRoom) {
		s.host.Broker().Clear(stateChannel(room)) // what a process that ended while making or deleting it has left
		_, err = s.remove(indexChannel(user), groupRooms, room)
		return v, false, err
	}
	if err != nil {
		return v, false, err
	}
	defer s.rooms.release(r)
	s.touch(indexChannel(user))
	if err := s.latest(r); err != nil {
		return v, false, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gone || r.members[user] == nil {
		_, err = s.remove(indexChannel(user), groupRooms, room)
		return v, false, err
	}
	return r.view(user, false), true, nil
}
