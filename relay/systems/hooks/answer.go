package hooks

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"time"

	"weir/internal/wire"
	"weir/relay/auth"
	"weir/relay/systems/internal/post"
)

// connectAnswer is the body of the answer to connect.
type connectAnswer struct {
	User *struct {
		ID     json.RawMessage `json:"id"` // a string, or a whole number
		Name   string          `json:"name"`
		Avatar string          `json:"avatar"`
		Roles  []string        `json:"roles"`
	} `json:"user"` // nil: anonymous
	Channels  json.RawMessage `json:"channels"` // operations by pattern
	Subscribe []string        `json:"subscribe"`
	ExpiresIn *float64        `json:"expiresIn"` // seconds
	Data      json.RawMessage `json:"data"`
	Context   json.RawMessage `json:"context"`
}

const (
	defaultExpiry = time.Hour      // of an answer without expiresIn
	maxExpiry     = 24 * time.Hour // of any answer
	minExpiry     = time.Second    // the same: the backend is not asked more often
	maxContext    = 4 << 10
	maxSubscribe  = 128
	somebody      = "anonymous" // in the place of a user whom nobody knows
)

// parseConnect reads who a client is.
func (s *System) parseConnect(body []byte, c *credentials, asked time.Time) (*auth.Identity, error) {
	var a connectAnswer
	if err := object(body, &a); err != nil {
		return nil, err
	}
	claims := auth.Claims{Sub: somebody, TTL: maxExpiry, IssuedAt: asked}
	if a.User != nil {
		user, err := userID(a.User.ID)
		if err != nil {
			return nil, err
		}
		claims.Sub, claims.Name, claims.Avatar, claims.Roles = user, a.User.Name, a.User.Avatar, a.User.Roles
	} else if bytes.Contains(a.Channels, []byte("{user}")) {
		return nil, errors.New("channels of an anonymous client must not have {user} in a pattern")
	}
	if !empty(a.Channels) {
		if err := json.Unmarshal(a.Channels, &claims.Channels); err != nil {
			return nil, errors.New(`channels must be an object of lists, such as {"room:*":["subscribe"]}`)
		}
	}
	if len(a.Subscribe) > maxSubscribe {
		return nil, fmt.Errorf("subscribe has %d channels: expected at most %d", len(a.Subscribe), maxSubscribe)
	}
	seen := make(map[string]bool)
	for _, channel := range a.Subscribe {
		if !wire.ValidChannel(channel) || seen[channel] {
			return nil, errors.New("subscribe has an invalid or a duplicate name of a channel")
		}
		seen[channel] = true
	}
	id, err := auth.Vouch(claims)
	if err != nil {
		return nil, member(err)
	}
	if !wire.ValidChannel(wire.UserChannel(id.User)) {
		return nil, errors.New("user.id is too long for the name of a channel")
	}
	if a.User == nil {
		id.User, id.Anonymous = "", true
	}
	for _, channel := range a.Subscribe {
		id.Grants = append(id.Grants, auth.Grant{Pattern: channel, Ops: auth.Subscribe})
	}
	expiry, err := seconds("expiresIn", a.ExpiresIn, defaultExpiry, maxExpiry)
	if err != nil {
		return nil, err
	}
	expiry = max(expiry, minExpiry)
	v := &visit{by: c, asked: asked}
	if v.context, err = oneLine("context", a.Context, maxContext); err != nil {
		return nil, err
	}
	v.mark()
	data, err := oneLine("data", a.Data, maxAnswer)
	if err != nil {
		return nil, err
	}
	id.Vouched = &auth.Vouched{By: v, Subscribe: a.Subscribe, Data: data, Refresh: asked.Add(early(expiry))}
	id.Expires = auth.MomentOf(asked.Add(expiry + s.config.Connect.Stale))
	return id, nil
}

// mark notes what stands for the context.
func (v *visit) mark() {
	if v.context != nil {
		sum := sha256.Sum256(v.context)
		copy(v.contextKey[:], sum[:])
	}
}

// early is when to ask again about what holds for some time: before its end, and not all at once.
func early(d time.Duration) time.Duration { return d*8/10 + rand.N(d*15/100+1) }

// number is a user's id that is one.
var number = regexp.MustCompile(`^-?[0-9]{1,20}$`)

// userID reads a user's id.
func userID(raw json.RawMessage) (string, error) {
	var id string
	switch {
	case number.Match(raw):
		return string(raw), nil
	case json.Unmarshal(raw, &id) == nil && id != "":
		return id, nil
	}
	return "", errors.New("user.id must be a string that is not empty, or a whole number")
}

// empty reports whether an object holds nothing. Some languages write it as a list.
func empty(raw json.RawMessage) bool {
	return len(raw) == 0 || string(raw) == "null" || string(bytes.Join(bytes.Fields(raw), nil)) == "[]"
}

// seconds reads a time.
func seconds(member string, n *float64, otherwise, most time.Duration) (time.Duration, error) {
	switch {
	case n == nil:
		return otherwise, nil
	case !(*n >= 0):
		return 0, fmt.Errorf("%s must be seconds, 0 or more", member)
	case *n >= most.Seconds():
		return most, nil
	}
	return time.Duration(*n * float64(time.Second)), nil
}

// oneLine is JSON on one line; nil if there is none.
func oneLine(member string, raw json.RawMessage, most int) ([]byte, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		return nil, notJSON(err)
	}
	if b.Len() > most {
		return nil, fmt.Errorf("%s has %d bytes: expected at most %d", member, b.Len(), most)
	}
	if err := wire.ValidJSON(b.Bytes()); err != nil { // which is stricter: what clients get is to be read by all of them
		return nil, fmt.Errorf("%s is not valid JSON", member)
	}
	return b.Bytes(), nil
}

// object reads an answer.
func object(body []byte, v any) error {
	switch text := bytes.TrimLeft(body, " \t\r\n\xef\xbb\xbf"); { // with the mark that some editors put before a text
	case len(text) == 0:
		return errors.New("the response is empty: expected a JSON object")
	case text[0] == '<':
		return errors.New("the response is an HTML page: expected a JSON object")
	case text[0] != '{':
		return errors.New("unexpected response: expected a JSON object")
	}
	if err := json.Unmarshal(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")), v); err != nil {
		return notJSON(err)
	}
	return nil
}

// member is the error about what an answer says of a client, in the words of the answer.
func member(err error) error {
	var refused *auth.Error
	if !errors.As(err, &refused) {
		return err
	}
	claim, what, _ := strings.Cut(refused.Detail, " ")
	if claim == "sub" {
		claim = "id"
	}
	switch claim {
	case "id", "name", "avatar", "roles":
		claim = "user." + claim
	}
	return errors.New(claim + " " + what)
}

// notJSON is the error about an answer, without any of it.
func notJSON(err error) error {
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) && kind.Field != "" {
		return fmt.Errorf("%s has the wrong type", kind.Field)
	}
	return errors.New("the response is not valid JSON of the expected form")
}

// codes are what a backend may call a refusal.
var codes = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)

// refused reads a refusal.
func refused(r *post.Response) *refusal {
	var body struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Reason  string `json:"reason"`
	}
	_ = json.Unmarshal(r.Body, &body) // it need not be JSON
	no := &refusal{status: r.Status, reason: readable(body.Message), page: bytes.HasPrefix(bytes.TrimSpace(r.Body), []byte("<"))}
	if no.reason == "" {
		no.reason = readable(body.Reason)
	}
	if codes.MatchString(body.Code) {
		no.code = body.Code
	}
	return no
}

// readable is a text for people, cut to what a close reason or an error has room for.
func readable(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text)
	return strings.ToValidUTF8(text[:min(len(text), 256)], "")
}
