package hooks

import (
	"bytes"
	"compress/flate"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"weir/relay/auth"
)

// A resume ticket lets a client come back without a question. It is an identity, sealed with a key that is made of the secrets:
// it outlives a restart, holds on every node, and shows nothing to the client. It is good for one use, and gone when access is
// revoked.

// maxTicket bounds a ticket in bytes: it stands in an address, beside the channels that are followed. A client whose identity is
// larger has none.
const maxTicket = 2 << 10

// tickets makes and reads them.
type tickets struct {
	life  time.Duration // 0: there are none
	seals []cipher.AEAD // the first makes them
	used  recent[nonce, struct{}]
}

// nonce is of one ticket.
type nonce [12]byte

// ticket is what is sealed.
type ticket struct {
	User       string          `json:"u,omitempty"`
	Name       string          `json:"n,omitempty"`
	Avatar     string          `json:"a,omitempty"`
	Roles      []string        `json:"r,omitempty"`
	Grants     []auth.Grant    `json:"g,omitempty"`
	Subscribe  []string        `json:"s,omitempty"`
	Context    json.RawMessage `json:"x,omitempty"`
	Issued     int64           `json:"i"` // microseconds since 1970, like the others
	Asked      int64           `json:"q"`
	Refresh    int64           `json:"f"`
	Expires    int64           `json:"e"`
	Origin     string          `json:"o,omitempty"`
	Connection string          `json:"c"`
}

func newTickets(secrets [][]byte, life time.Duration) (*tickets, error) {
	t := &tickets{life: life, used: recent[nonce, struct{}]{life: life}}
	for _, secret := range secrets {
		key, err := hkdf.Key(sha256.New, secret, nil, "weir hooks: resume ticket, version 1", 32)
		if err != nil {
			return nil, fmt.Errorf("hooks.secrets: %w", err)
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, fmt.Errorf("hooks.secrets: %w", err)
		}
		seal, err := cipher.NewGCM(block)
		if err != nil {
			return nil, fmt.Errorf("hooks.secrets: %w", err)
		}
		t.seals = append(t.seals, seal)
	}
	return t, nil
}

// Resume implements session.Connector.
func (s *System) Resume(connection string, id *auth.Identity) string {
	v := visitOf(id)
	if v == nil || s.tickets.life == 0 {
		return ""
	}
	return s.tickets.seal(&ticket{id.User, id.Name, id.Avatar, id.Roles, id.Grants, id.Vouched.Subscribe, v.context,
		s.now().UnixMicro(), v.asked.UnixMicro(), id.Vouched.Refresh.UnixMicro(), int64(id.Expires), v.by.origin, connection})
}

// seal makes a ticket; "" if it would be too large.
func (t *tickets) seal(k *ticket) string {
	text, err := json.Marshal(k)
	if err != nil {
		return ""
	}
	var small bytes.Buffer
	w, _ := flate.NewWriter(&small, flate.BestSpeed) // the level is a good one
	_, _ = w.Write(text)                             // a buffer takes all
	_ = w.Close()
	var n nonce
	_, _ = rand.Read(n[:]) // ends the process rather than failing
	sealed := base64.RawURLEncoding.EncodeToString(t.seals[0].Seal(n[:], n[:], small.Bytes(), nil))
	if len(sealed) > maxTicket {
		return ""
	}
	return sealed
}

// open reads a ticket; nil if it is none of ours.
func (t *tickets) open(text string) (k *ticket, n nonce) {
	if len(text) > maxTicket {
		return nil, n
	}
	sealed, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(sealed) < len(nonce{}) {
		return nil, n
	}
	n = nonce(sealed[:len(nonce{})])
	for _, seal := range t.seals {
		small, err := seal.Open(nil, n[:], sealed[len(n):], nil)
		if err != nil {
			continue
		}
		plain, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(small)), maxAnswer))
		k = new(ticket)
		if err != nil || json.Unmarshal(plain, k) != nil {
			return nil, n
		}
		return k, n
	}
	return nil, n
}

// use reports whether a ticket has not been used before.
func (t *tickets) use(n nonce, now time.Time) bool {
	_, again := t.used.put(n, struct{}{}, now)
	return !again
}

// resume returns the identity of a ticket, nil if it does not hold.
func (s *System) resume(text string, c *credentials) *auth.Identity {
	if s.tickets.life == 0 {
		return nil
	}
	now := s.now()
	k, n := s.tickets.open(text)
	if k == nil || !s.redeem(k, n, now) || k.Origin != c.origin {
		return nil
	}
	issued := time.UnixMicro(k.Issued)
	if now.Before(issued.Add(-skew)) || !now.Before(issued.Add(s.tickets.life)) || !now.Before(time.UnixMicro(k.Expires)) {
		return nil
	}
	if now.Before(issued) { // by the clock of another node
		issued = now
	}
	v := &visit{by: c, asked: issued} // it stood then
	if len(k.Context) > 0 {
		v.context = k.Context
	}
	v.mark()
	return &auth.Identity{User: k.User, Name: k.Name, Avatar: k.Avatar, Roles: k.Roles, Grants: k.Grants, Anonymous: k.User == "",
		Issued: auth.Moment(k.Asked), Expires: auth.Moment(k.Expires),
		Vouched: &auth.Vouched{By: v, Subscribe: k.Subscribe, Refresh: time.UnixMicro(k.Refresh)}}
}

// skew is how far the clocks of nodes may be apart.
const skew = time.Minute

// redeem reports whether a ticket has not been used before, and nothing that it stands for was revoked since. In a cluster, where that is not known for
// certain, it does not hold: the backend is asked then.
func (s *System) redeem(k *ticket, n nonce, now time.Time) bool {
	about := inquiry{Nonce: n[:], Issued: k.Issued, Connection: connectionKey(k.Connection)}
	if k.User != "" {
		about.User = userKey(k.User)
	}
	if s.nodes != nil {
		return s.nodes.redeem(&about, now)
	}
	return s.tickets.use(n, now) && !s.revokedSince(&about, 0)
}

// revokedSince reports whether access was revoked since a ticket was made.
func (s *System) revokedSince(about *inquiry, margin time.Duration) bool {
	issued := time.UnixMicro(about.Issued).Add(-margin)
	return about.User != "" && s.revoked.since(about.User, issued) || s.revoked.since(about.Connection, issued)
}

// userKey and connectionKey stand for whom access was taken away from, as the key of an item.
func userKey(user string) string             { return hashed("user:" + user) }
func connectionKey(connection string) string { return hashed("connection:" + connection) }

func hashed(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:16])
}
