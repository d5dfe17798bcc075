package mercure

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"weir/internal/contain"
	"weir/relay/auth"
)

// maxSelectors bounds the selectors of a claim, the topics of an update and those of a subscription.
const maxSelectors = 1000

// signers are the keys that one kind of token is signed with.
type signers struct {
	keys map[string][]jwt.VerificationKey // by algorithm
	sets []*auth.KeySet
}

func plural(n int) string { return strconv.Itoa(n) + " bytes" }

// parse reads the key.
func (k *Key) parse() (jwt.VerificationKey, error) {
	b, err := k.read()
	if err != nil {
		return nil, err
	}
	switch k.Algorithm[:2] {
	case "HS":
		return b, nil
	case "RS", "PS":
		return jwt.ParseRSAPublicKeyFromPEM(b)
	case "ES":
		return jwt.ParseECPublicKeyFromPEM(b)
	default:
		return jwt.ParseEdPublicKeyFromPEM(b)
	}
}

// newSigners reads keys. sets has the key sets that are open, and gets those that are needed.
func newSigners(list []Key, sets map[auth.JWKS]*auth.KeySet, hook contain.Hook) (*signers, error) {
	s := &signers{keys: make(map[string][]jwt.VerificationKey)}
	for i := range list {
		if j := list[i].JWKS; j.URL != "" {
			if sets[j] == nil {
				set, err := auth.OpenKeySet(j, hook)
				if err != nil {
					return nil, fmt.Errorf("key %d: %w", i+1, err)
				}
				sets[j] = set
			}
			s.sets = append(s.sets, sets[j])
			continue
		}
		key, err := list[i].parse()
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i+1, err)
		}
		s.keys[list[i].Algorithm] = append(s.keys[list[i].Algorithm], key)
	}
	return s, nil
}

// errNoKeys says that a key set has not been fetched yet.
var errNoKeys = errors.New("the keys for checking tokens have not been fetched yet")

// find returns the keys for a token: those of its algorithm, so that none is used for another, and of its id in key sets. It may wait
// for a key set to be fetched.
func (s *signers) find(t *jwt.Token) (any, error) {
	keys := slices.Clone(s.keys[t.Method.Alg()])
	id, _ := t.Header["kid"].(string)
	for _, set := range s.sets {
		found, fetched := set.Public(id, t.Method.Alg())
		if !fetched && len(keys) == 0 {
			return nil, errNoKeys
		}
		for _, key := range found {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("no key has the token's algorithm, or its kid")
	}
	return jwt.VerificationKeySet{Keys: keys}, nil
}

// claims are those of a token. Of 0.x all are optional.
type claims struct {
	Mercure *rights           `json:"mercure"`
	Named   *rights           `json:"https://mercure.rocks/"` // wins
	Details []json.RawMessage `json:"authorization_details"`
	jwt.RegisteredClaims
}

// rights are the claim of 0.x.
type rights struct {
	Publish   []string        `json:"publish"`
	Subscribe []string        `json:"subscribe"`
	Payload   json.RawMessage `json:"payload"`
}

// detail is an entry of authorization_details (RFC 9396) of 1.0.
type detail struct {
	Actions []string `json:"actions"`
	Topics  []struct {
		Match *string `json:"match"`
		Type  *string `json:"match_type"`
	} `json:"topics"`
	Payload json.RawMessage `json:"payload"`
}

// detailType is the type of the entries that are ours; others are for others.
const detailType = "https://mercure.rocks/authorization-detail"

// grant is a selector of topics that a token names.
type grant struct {
	selector selector
	payload  json.RawMessage // shown with subscriptions; nil: none
}

// grants are what a token allows. nil is no token.
type grants struct {
	publish, subscribe []grant
	payload            json.RawMessage // of 0.x
	expires            time.Time       // zero: never
	modern             bool            // 1.0
}

// verify reads a token. Audience is the hub's address, of 1.0.
func (s *System) verify(keys *signers, token, audience string) (*grants, error) {
	var c claims
	parser := jwt.NewParser(jwt.WithTimeFunc(s.host.Now), jwt.WithLeeway(s.leeway))
	t, err := parser.ParseWithClaims(token, &c, keys.find)
	if err != nil {
		return nil, err
	}
	g := &grants{modern: c.Details != nil}
	if c.ExpiresAt != nil {
		g.expires = c.ExpiresAt.Time
	}
	if g.modern {
		return g, s.readModern(g, t, &c, audience)
	}
	r := c.Named
	if r == nil {
		r = c.Mercure
	}
	if r == nil {
		return g, nil
	}
	if len(r.Publish) > maxSelectors || len(r.Subscribe) > maxSelectors {
		return nil, errors.New("the token has too many selectors")
	}
	g.payload = r.Payload
	g.publish, g.subscribe = classic(r.Publish), classic(r.Subscribe)
	return g, nil
}

// classic makes grants of the selectors of 0.x.
func classic(list []string) (out []grant) {
	for _, text := range list {
		out = append(out, grant{selector: selector{kindClassic, text}})
	}
	return out
}

// readModern reads what a token of 1.0 allows, and holds it against what that must say.
func (s *System) readModern(g *grants, t *jwt.Token, c *claims, audience string) error {
	if typ, _ := t.Header["typ"].(string); typ != "at+jwt" && typ != "application/at+jwt" {
		return errors.New("typ is not at+jwt")
	}
	switch {
	case c.ExpiresAt == nil:
		return errors.New("exp is missing")
	case !slices.Contains(s.now().Issuers, "*") && !slices.Contains(s.now().Issuers, c.Issuer) || c.Issuer == "":
		return errors.New("iss is not trusted")
	case !slices.Contains(c.Audience, audience):
		return fmt.Errorf("aud is not %s", audience)
	}
	for _, raw := range c.Details {
		var kind struct {
			Type string `json:"type"`
		}
		if err := json.Unmarshal(raw, &kind); err != nil {
			return err
		}
		if kind.Type != detailType {
			continue
		}
		var d detail
		if err := json.Unmarshal(raw, &d); err != nil {
			return err
		}
		if err := s.readDetail(g, &d); err != nil {
			return err
		}
	}
	if len(g.publish) > maxSelectors || len(g.subscribe) > maxSelectors {
		return errors.New("the token has too many topics")
	}
	return nil
}

func (s *System) readDetail(g *grants, d *detail) error {
	if len(d.Actions) == 0 || len(d.Topics) == 0 {
		return errors.New("an entry of authorization_details has no actions or no topics")
	}
	for _, topic := range d.Topics {
		if topic.Match == nil {
			return errors.New("a topic has no match")
		}
		x := selector{kindExact, *topic.Match}
		if topic.Type != nil {
			switch *topic.Type {
			case "exact":
			case "urlpattern":
				x.kind = kindPattern
			default:
				return errors.New("match_type is neither exact nor urlpattern")
			}
		}
		if _, err := s.compile(x); err != nil {
			return err
		}
		for _, action := range d.Actions {
			switch action {
			case "publish":
				g.publish = append(g.publish, grant{x, d.Payload})
			case "subscribe":
				g.subscribe = append(g.subscribe, grant{x, d.Payload})
			default:
				return errors.New("an action is neither publish nor subscribe")
			}
		}
	}
	return nil
}

// covers reports whether one of the grants matches a topic.
func (s *System) covers(list []grant, topic string) bool {
	for i := range list {
		if m, err := s.compile(list[i].selector); err == nil && m.matches(topic) {
			return true
		}
	}
	return false
}
