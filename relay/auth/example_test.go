package auth_test

import (
	"errors"
	"fmt"
	"time"

	"weir/relay/auth"
)

func Example() {
	const secret = "an example, not a secret: use 32 random bytes"

	verifier, err := auth.NewVerifier(auth.Config{
		Keys: []auth.TokenKey{{ID: "2026-11", Algorithm: "HS256", Secret: secret}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer verifier.Close()

	token, err := auth.Mint(secret, "2026-11", auth.Claims{
		Sub:      "u1",
		Channels: map[string][]string{"room:*": {"subscribe", "publish"}, "user:{user}": {"subscribe"}},
		TTL:      time.Hour,
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	id, err := verifier.Verify(token)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(id.User, id.May(auth.Publish, "room:42"), id.May(auth.Publish, "user:u1"))

	_, err = verifier.Verify("not a token")
	fmt.Println(auth.ReasonOf(err), errors.Is(err, auth.ReasonMissing))
	// Output:
	// u1 true false
	// malformed false
}

func ExampleTickets() {
	tickets := auth.NewTickets(0)
	ticket, err := tickets.Issue(&auth.Identity{User: "u1"})
	if err != nil {
		fmt.Println(err)
		return
	}
	id, ok := tickets.Redeem(ticket)
	fmt.Println(id.User, ok)
	_, ok = tickets.Redeem(ticket)
	fmt.Println(ok)
	// Output:
	// u1 true
	// false
}
