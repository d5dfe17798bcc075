package chat

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// room is one room. There is one for an id at a time; see rooms.
type room struct {
	// Set once by rooms.
	id    string
	ready chan struct{} // closed when it is loaded, or err says why it is not

	// Set once before ready is closed.
	err error

	// Guarded by rooms.
	users int // requests that hold it

	// Atomic.
	lost atomic.Bool // another node may own it by now: what is known here is of no use, and nothing is written

	// Guarded by mu.
	mu      sync.Mutex
	gone    bool // it was deleted
	meta    meta
	members map[string]*member
	order   []*member // by when they joined
	last    uint64    // position of the newest message, also if it was deleted
	deleted []deletion
	starts  []start           // of the blocks that hold messages whose ids are UUIDs
	lastID  string            // the greatest UUID of a message so far; "": none
	nonces  map[string]string // ids of messages by user and nonce; see nonceOf
	recent  []string          // keys of nonces, oldest first
	newest  *preview          // the message that lastMessage says; nil: there is none, or stale
	stale   bool              // newest is to be found out; see latest
	edits   uint64            // messages that were changed or deleted
	listed  []byte            // ids of the members as JSON; nil: not encoded yet
	pending map[string]*pending
	joined  string        // no member has joined later
	emitted chan struct{} // closed when the events of all changes so far have been emitted; nil at first
}

// about is what a room says of itself.
type about struct {
	Name         string `json:"name"`
	Description  string `json:"description,omitempty"`
	CreatedBy    string `json:"createdBy"`
	CreatedAt    string `json:"createdAt"`
	IsPrivate    bool   `json:"isPrivate"`
	LastActivity string `json:"lastActivity"`
}

// meta is the record of a room.
type meta struct {
	about
	First uint64 `json:"first"` // position of the oldest message that is kept
	Block uint64 `json:"block"` // of the newest
}

// member is a user in a room. Guarded by room.mu.
type member struct {
	ID       string `json:"id"`
	JoinedAt string `json:"joinedAt"`
	Read     uint64 `json:"read"` // position of the newest message that the user has read

	key string
}

// deletion is a message that was deleted, by position.
type deletion struct {
	Position uint64 `json:"position"`
	Nonce    string `json:"nonce,omitempty"` // as in room.nonces
}

// preview is the newest message of a room in brief.
type preview struct {
	MessageID string `json:"messageId"`
	Content   string `json:"content"`
	UserID    string `json:"userId"`
}

// roomView is a room as users get it.
type roomView struct {
	ID string `json:"id"`
	about
	Members     []string `json:"members,omitempty"`
	MemberCount int      `json:"memberCount"`
	LastMessage *preview `json:"lastMessage,omitempty"`
	Position    uint64   `json:"position"`         // of the newest message
	Read        *uint64  `json:"read,omitempty"`   // of a member
	Unread      *uint64  `json:"unread,omitempty"` // of a member
}

// view is the room as user sees it. The caller holds mu.
func (r *room) view(user string, withMembers bool) roomView {
	v := roomView{ID: r.id, about: r.meta.about, MemberCount: len(r.order), LastMessage: r.newest, Position: r.last}
	if withMembers {
		v.Members = r.ids()
	}
	if m := r.members[user]; m != nil {
		v.Read, v.Unread = new(m.Read), new(r.unread(m.Read))
	}
	return v
}

// ids are the members, by when they joined. The caller holds mu.
func (r *room) ids() []string {
	ids := make([]string, len(r.order))
	for i, m := range r.order {
		ids[i] = m.ID
	}
	return ids
}

// add adds a user who is not a member. The caller holds mu.
func (r *room) add(m *member) {
	r.members[m.ID] = m
	r.order = append(r.order, m)
	r.listed, r.joined = nil, max(r.joined, m.JoinedAt)
}

// remove removes a member. The caller holds mu.
func (r *room) remove(m *member) {
	delete(r.members, m.ID)
	r.order = slices.DeleteFunc(r.order, func(x *member) bool { return x == m })
	r.listed = nil
}

// owner reports whether a user may remove members and messages of others: the one who has been a member longest, which is
// the creator as long as they stay. The caller holds mu.
func (r *room) owner(user string) bool { return len(r.order) > 0 && r.order[0].ID == user }

// unread is how many messages there are after a position. The caller holds mu.
func (r *room) unread(read uint64) uint64 {
	from := max(read, r.meta.First-1)
	if from >= r.last {
		return 0
	}
	return r.last - from - uint64(len(r.deleted)-r.deletedBefore(from+1))
}

// deletedBefore is how many messages before a position were deleted. The caller holds mu.
func (r *room) deletedBefore(position uint64) int {
	i, _ := slices.BinarySearchFunc(r.deleted, position, func(d deletion, at uint64) int { return cmp.Compare(d.Position, at) })
	return i
}

// joins is when a membership begins that begins now: later than all before, or the index would take it for one of these. The caller holds mu.
func (r *room) joins(now time.Time) string {
	at := timestamp(now)
	if at <= r.joined {
		if last, err := time.Parse(timeLayout, r.joined); err == nil {
			at = timestamp(last.Add(time.Millisecond))
		}
	}
	r.joined = at
	return at
}

const timeLayout = "2006-01-02T15:04:05.000Z"

// timestamp is a time as clients write it, too.
func timestamp(t time.Time) string { return t.UTC().Format(timeLayout) }
