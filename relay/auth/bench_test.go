package auth

import (
	"fmt"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// fullClaims is what a chat application puts into a token.
func fullClaims() jwt.MapClaims {
	return with("name", "Ada Lovelace", "avatar", "https://cdn.example.com/a/u12345.png",
		"roles", []string{"member", "admin"},
		"channels", map[string][]string{"room:*": {"subscribe", "publish"}, "doc:{user}:*": {"*"}},
		"iat", noon.Unix(), "iss", "https://login.example.com", "aud", "weir")
}

func BenchmarkVerify(b *testing.B) {
	cfg := all(b)
	cfg.Issuer, cfg.Audience = "https://login.example.com", "weir"
	v := newVerifier(b, cfg)
	for alg, token := range map[string]string{
		"HS256-least": hs(secret, "hs", with("iss", "https://login.example.com", "aud", "weir")),

		"HS256": hs(secret, "hs", fullClaims()),
		"RS256": sign(jwt.SigningMethodRS256, rsaKey(), kid("rs"), fullClaims()),
		"ES256": sign(jwt.SigningMethodES256, ecKey(), kid("es"), fullClaims()),
		"EdDSA": sign(jwt.SigningMethodEdDSA, ed25519Key(), kid("ed"), fullClaims()),
	} {
		b.Run(fmt.Sprintf("alg=%s/bytes=%d", alg, len(token)), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// What the claims are read with, and what jwt.Parser would take for the same token.
func BenchmarkParseClaims(b *testing.B) {
	token := hs(secret, "", fullClaims())
	text := must(jwt.NewParser().DecodeSegment(splitPayload(token)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parseClaims(text, "", ""); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkJWTParser(b *testing.B) {
	token := hs(secret, "", fullClaims())
	p := jwt.NewParser(jwt.WithValidMethods([]string{"HS256"}), jwt.WithExpirationRequired(), jwt.WithTimeFunc(atNoon))
	b.ReportAllocs()
	for b.Loop() {
		var c struct {
			jwt.RegisteredClaims
			Name, Avatar string
			Roles        []string
			Channels     map[string][]string
		}
		if _, err := p.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) { return []byte(secret), nil }); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMay(b *testing.B) {
	for _, grants := range []int{1, 8, 64} {
		id := &Identity{}
		for i := range grants {
			id.Grants = append(id.Grants, Grant{fmt.Sprintf("room-%d:*", i), Subscribe})
		}
		channel := fmt.Sprintf("room-%d:42", grants-1)
		b.Run(fmt.Sprintf("grants=%d", grants), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !id.May(Subscribe, channel) {
					b.Fatal("refused")
				}
			}
		})
	}
}

func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{1, 8} {
		var cfg APIConfig
		for i := range n {
			cfg.Keys = append(cfg.Keys, APIKey{Name: fmt.Sprint("b", i), Secret: fmt.Sprintf("key-of-a-backend-%d", i)})
		}
		k := must(NewKeys(cfg))
		key := []byte(cfg.Keys[n-1].Secret)
		b.Run(fmt.Sprintf("keys=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, ok := k.lookup(key); !ok {
					b.Fatal("refused")
				}
			}
		})
	}
}

func BenchmarkTicket(b *testing.B) {
	tickets := NewTickets(0)
	id := &Identity{User: "u1", Expires: MomentOf(noon.Add(time.Hour))}
	b.ReportAllocs()
	for b.Loop() {
		text, err := tickets.Issue(id)
		if err != nil {
			b.Fatal(err)
		}
		if _, ok := tickets.Redeem(text); !ok {
			b.Fatal("refused")
		}
	}
}
