package chat

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"weir/internal/wire"
)

// nonceWindow is how many messages back a nonce is known.
const nonceWindow = 2 * blockSize

// load reads a room. Errors: errNoRoom, and those of reading the state.
func (s *System) load(r *room) error {
	if err := s.here(r.id); err != nil {
		return err
	}
	found := false
	err := s.items(stateChannel(r.id), func(group, key string, data []byte) error {
		switch {
		case group == groupRoom && key == keyMeta:
			found = true
			return json.Unmarshal(data, &r.meta)
		case group == groupMembers:
			m := new(member)
			if err := json.Unmarshal(data, m); err != nil {
				return err
			}
			m.key = wire.UserKey(m.ID)
			r.add(m)
		case group == groupDeleted:
			var list []deletion
			if err := json.Unmarshal(data, &list); err != nil {
				return err
			}
			r.deleted = append(r.deleted, list...)
		case group == groupStarts:
			block, err := strconv.ParseUint(key, 10, 64)
			if err != nil {
				return err
			}
			id, err := wire.Text(data)
			r.starts = append(r.starts, start{block, strings.Clone(id)})
			return err
		case group == groupPending:
			p := new(pending)
			if err := json.Unmarshal(data, p); err != nil {
				return err
			}
			r.pending[p.ID], r.joined = p, max(r.joined, p.Joined)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read room %s: %w", r.id, err)
	}
	if !found || len(r.order) == 0 { // an earlier process may have ended while it was made or deleted
		return errNoRoom
	}
	for user := range r.pending {
		if r.members[user] == nil { // which may not have been told yet
			s.revoke(r.id, user, "not a member of the room")
		}
		s.repairs.add(r.id)
	}
	slices.SortFunc(r.starts, func(a, b start) int { return cmp.Compare(a.block, b.block) })
	if n := len(r.starts); n > 0 {
		r.lastID = r.starts[n-1].id
	}
	slices.SortFunc(r.deleted, func(a, b deletion) int { return cmp.Compare(a.Position, b.Position) })
	r.deleted = slices.DeleteFunc(r.deleted, func(d deletion) bool { return d.Position < r.meta.First })
	return s.loadNewest(r)
}

// loadNewest reads where a room's messages stand.
func (s *System) loadNewest(r *room) error {
	r.last = r.meta.Block * blockSize // all before this block were given
	if n := len(r.deleted); n > 0 {
		r.last = max(r.last, r.deleted[n-1].Position)
	}
	for block := r.meta.Block - min(r.meta.Block, nonceWindow/blockSize-1); block <= r.meta.Block; block++ {
		err := s.items(blockChannel(r.id, block), func(_, key string, data []byte) error {
			var m chatMessage
			if err := json.Unmarshal(data, &m); err != nil {
				return err
			}
			if m.Position == 0 {
				return fmt.Errorf("message %q has no position", key)
			}
			if isUUID(key) {
				r.begins(block, m.ID)
			}
			r.last = max(r.last, m.Position)
			r.meta.LastActivity = max(r.meta.LastActivity, m.CreatedAt)
			r.newest = m.preview()
			r.remember(nonceOf(m.UserID, m.Nonce), m.ID)
			return nil
		}, groupMessages)
		if err != nil {
			return fmt.Errorf("read messages of room %s: %w", r.id, err)
		}
	}
	for _, d := range r.deleted {
		if d.Position+nonceWindow > r.last {
			r.remember(d.Nonce, "")
		}
	}
	r.stale = r.newest == nil && r.last >= r.meta.First
	return nil
}

// nonceOf is the key under which a nonce is known; "" if there is none. One user's are not another's.
func nonceOf(user, nonce string) string {
	if nonce == "" {
		return ""
	}
	return strconv.Itoa(len(user)) + " " + user + nonce
}

// remember keeps a nonce, unless it is "", and drops the oldest of too many. The caller holds mu, or the room is being
// loaded.
func (r *room) remember(nonce, message string) {
	if nonce == "" {
		return
	}
	if _, known := r.nonces[nonce]; !known {
		r.recent = append(r.recent, nonce)
	}
	r.nonces[nonce] = message
	if over := len(r.recent) - nonceWindow; over > 0 {
		for _, old := range r.recent[:over] {
			delete(r.nonces, old)
		}
		r.recent = slices.Delete(r.recent, 0, over)
	}
}

// page returns up to limit messages before a position, oldest first, and whether there are older ones. It takes
// no lock: messages that are sent meanwhile may be in it.
func (s *System) page(room string, first, before uint64, limit int) (list [][]byte, more bool, err error) {
	if before <= first {
		return nil, false, nil
	}
	for block := blockOf(before - 1); ; block-- {
		var part [][]byte
		err = s.items(blockChannel(room, block), func(_, _ string, data []byte) error {
			var m struct{ Position uint64 }
			if err := codec.Unmarshal(data, &m); err != nil {
				return err
			}
			if m.Position < before && m.Position >= first {
				part = append(part, data)
			}
			return nil
		}, groupMessages)
		if err != nil {
			return nil, false, fmt.Errorf("read messages of room %s: %w", room, err)
		}
		list = append(part, list...)
		if len(list) > limit {
			return list[len(list)-limit:], true, nil
		}
		if block == blockOf(first) {
			return list, false, nil
		}
	}
}

// latest finds out what the newest message of a room is, if that is not known since one was deleted. It takes
// mu for moments only.
func (s *System) latest(r *room) error {
	r.mu.Lock()
	stale, first, last, edits := r.stale, r.meta.First, r.last, r.edits
	r.mu.Unlock()
	for stale {
		list, _, err := s.page(r.id, first, last+1, 1)
		if err != nil {
			return err
		}
		var newest *preview
		if len(list) > 0 {
			var m chatMessage
			if err := json.Unmarshal(list[0], &m); err != nil {
				return fmt.Errorf("read the newest message of room %s: %w", r.id, err)
			}
			newest = m.preview()
		}
		r.mu.Lock()
		if r.stale && r.last == last && r.edits == edits {
			r.newest, r.stale = newest, false
		}
		stale, first, last, edits = r.stale, r.meta.First, r.last, r.edits
		r.mu.Unlock()
	}
	return nil
}
