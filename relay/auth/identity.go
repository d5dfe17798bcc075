package auth

import (
	"slices"
	"time"

	"weir/internal/wire"
)

// RoleAdmin is the role of those who run the relay.
const RoleAdmin = "admin"

// Identity is who a client is and what its token lets it do. It is shared between goroutines and
// never written after it was made.
type Identity struct {
	User   string // the token's sub; 1 to 128 bytes, "" for anonymous clients
	Name   string // to show to others; may be ""
	Avatar string // address of a picture; may be "". Given by the issuer, not checked: treat it as text
	Roles  []string
	Grants []Grant // the channels the token names
	// Expires is when the identity must no longer be believed: the token's exp and the leeway. Wall
	// clock. Zero: never.
	Expires   Moment
	Issued    Moment   // the token's iat; zero: it does not say
	Anonymous bool     // let in without a token
	Vouched   *Vouched // what a system that vouches for the client in the place of a token says besides; nil: it is a token's
}

// Moment is a time in a word, in Unix microseconds; 0: none.
type Moment int64

// MomentOf is a time as a Moment; zero stays zero.
func MomentOf(t time.Time) Moment {
	if t.IsZero() {
		return 0
	}
	return Moment(t.UnixMicro())
}

// Time is the time.
func (m Moment) Time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return time.UnixMicro(int64(m))
}

// Vouched is what a system that identifies clients says of one beside who it is. It is shared like its Identity, and never
// written after it was made.
type Vouched struct {
	By        any       // the system's own
	Subscribe []string  // channels that the client follows from the start
	Data      []byte    // JSON that the client is told when it is connected; nil: none
	Refresh   time.Time // when the system is to be asked again. Wall clock. Zero: never
}

// Grant lets a client do Ops in the channels that Pattern covers, as MatchPattern says.
type Grant struct {
	Pattern string
	Ops     Ops
}

// May reports whether the grants, taken together, allow all of op in the channel. It does not look at
// Expires, allocates nothing, and is false for no operation and for a nil Identity.
func (id *Identity) May(op Ops, channel string) bool {
	if id == nil || op == 0 {
		return false
	}
	left := op
	for i := range id.Grants {
		g := &id.Grants[i]
		if left&g.Ops != 0 && MatchPattern(g.Pattern, channel) {
			if left &^= g.Ops; left == 0 {
				return true
			}
		}
	}
	return false
}

// HasRole reports whether the token carries the role.
func (id *Identity) HasRole(role string) bool {
	return id != nil && slices.Contains(id.Roles, role)
}

// Follows returns the channels that the client follows from the start because whoever vouches for it says so, but for its own
// user's, which it follows anyway.
func (id *Identity) Follows() []string {
	if id.Vouched == nil {
		return nil
	}
	list := id.Vouched.Subscribe
	if own := slices.Index(list, wire.UserChannel(id.User)); own >= 0 && id.User != "" {
		list = slices.Delete(slices.Clone(list), own, own+1)
	}
	return list
}
