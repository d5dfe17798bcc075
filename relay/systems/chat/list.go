package chat

import (
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/valyala/fasthttp"

	"weir/internal/wire"
	"weir/relay/auth"
	"weir/relay/cluster"
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
			return wrong("after", "must be the value of next of an earlier page")
		}
		i, found := slices.BinarySearchFunc(entries, entry{room, joined}, compareEntries)
		if found {
			i++
		}
		entries = entries[i:]
	}
	views := make([]json.RawMessage, 0, min(limit, len(entries)))
	next := ""
	for len(entries) > 0 {
		if len(views) == limit {
			break
		}
		some := entries[:min(limit-len(views), len(entries))]
		entries = entries[len(some):]
		found, err := s.summaries(id.User, some)
		if err != nil {
			return err
		}
		views = append(views, found...)
		if len(entries) > 0 {
			next = some[len(some)-1].cursor()
		}
	}
	if len(entries) == 0 {
		next = ""
	}
	body := struct {
		Rooms []json.RawMessage `json:"rooms"`
		Next  string            `json:"next,omitempty"`
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

// summaries are the rooms of a page that the user is a member of. The index has others after a crash at most, and then no longer.
func (s *System) summaries(user string, entries []entry) (views []json.RawMessage, err error) {
	found := make([]summary, len(entries))
	err = s.each(len(entries), func(i int) (err error) {
		found[i], err = s.summaryOf(entries[i].room, user)
		return err
	})
	if err != nil {
		return nil, err
	}
	for i, x := range found {
		switch {
		case x.View != nil:
			views = append(views, x.View)
		case !x.Pending:
			_, err := s.indexHere(&indexOrder{user, entries[i].room, entries[i].joined, true})
			if err != nil && !errors.Is(err, cluster.ErrNotOwner) {
				return nil, err
			}
		}
	}
	return views, nil
}

// summaryHere is a room of this node as a user's list has it.
func (s *System) summaryHere(room, user string) (x summary, err error) {
	r, err := s.rooms.hold(room)
	if errors.Is(err, errNoRoom) {
		s.host.Broker().Clear(stateChannel(room)) // what a process that ended while making or deleting it has left
		return x, nil
	}
	if err != nil {
		return x, err
	}
	defer s.rooms.release(r)
	if err := s.latest(r); err != nil {
		return x, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.lost.Load():
		return x, cluster.ErrNotOwner
	case r.gone:
	case r.members[user] != nil:
		x.View = marshal(r.view(user, false))
	default:
		x.Pending = r.pending[user] != nil
	}
	return x, nil
}
