package auth

import (
	"strings"
	"testing"
)

func TestMatchPattern(t *testing.T) {
	for _, tt := range []struct {
		pattern, channel string
		want             bool
	}{
		{"room:42", "room:42", true},
		{"room:42", "room:421", false},
		{"room:42", "Room:42", false},
		{"room:42", "room:4", false},
		{"room:42", "room:42:typing", false},
		{"room:*", "room:42", true},
		{"room:*", "room:42:typing", true},
		{"room:*", "room:", false},
		{"room:*", "room", false},
		{"room:*", "roommate:1", false},
		{"room:*", "xroom:1", false},
		{"room:*", "", false},
		{"a:b:*", "a:b:c", true},
		{"a:b:*", "a:c:b", false},
		{"*", "room:42", true},
		{"*", "x", true},
		{"*", "", false},
		{":*", ":x", true},
		{":*", "x", false},
		{"", "", false},
		{"", "x", false},
		{"room*", "room42", false},
		{"ro*m", "room", false},
		{"room:*:x", "room:1:x", false},
		{"room:**", "room:x", false},
		{"**", "x", false},
		{"*:x", "y:x", false},
		{"room:*", "room:*", true}, // not a channel, and no more than the pattern says
	} {
		if got := MatchPattern(tt.pattern, tt.channel); got != tt.want {
			t.Errorf("MatchPattern(%q, %q) = %v, want %v", tt.pattern, tt.channel, got, tt.want)
		}
	}
}

func TestMay(t *testing.T) {
	id := &Identity{User: "u1", Grants: []Grant{
		{"room:*", Subscribe},
		{"room:42", Publish | History},
		{"user:u1", AllOps},
	}}
	for _, tt := range []struct {
		op      Ops
		channel string
		want    bool
	}{
		{Subscribe, "room:1", true},
		{Publish, "room:1", false},
		{Publish, "room:42", true},
		{Subscribe | Publish, "room:42", true}, // by two grants together
		{Subscribe | Publish | Presence, "room:42", false},
		{Subscribe | Publish, "room:43", false},
		{AllOps, "user:u1", true},
		{Subscribe, "user:u2", false},
		{Subscribe, "presence:room:1", false},
		{0, "user:u1", false},
		{1 << 7, "user:u1", false},
		{Subscribe, "", false},
	} {
		if got := id.May(tt.op, tt.channel); got != tt.want {
			t.Errorf("May(%v, %q) = %v, want %v", tt.op, tt.channel, got, tt.want)
		}
	}
	var none *Identity
	if none.May(Subscribe, "room:1") || none.HasRole("x") || (&Identity{Anonymous: true}).May(Subscribe, "room:1") {
		t.Error("an identity without grants may do something")
	}
	if allocs := testing.AllocsPerRun(100, func() { id.May(Publish, "room:42"); id.May(Publish, "room:1") }); allocs != 0 {
		t.Errorf("May allocates %v times", allocs)
	}
}

func TestHasRole(t *testing.T) {
	id := &Identity{Roles: []string{"member", "admin"}}
	if !id.HasRole("admin") || id.HasRole("Admin") || id.HasRole("") {
		t.Error("HasRole is wrong")
	}
}

func TestOps(t *testing.T) {
	for _, tt := range []struct {
		text string
		want Ops
	}{
		{"subscribe", Subscribe},
		{"publish", Publish},
		{"history", History},
		{"presence", Presence},
		{"subscribe,publish", Subscribe | Publish},
		{"subscribe,history,presence", Subscribe | History | Presence},
		{"*", AllOps},
	} {
		got, err := ParseOps(tt.text)
		if err != nil || got != tt.want || got.String() != tt.text {
			t.Errorf("ParseOps(%q) = %v, %v; want %v", tt.text, got, err, tt.want)
		}
	}
	if got, err := ParseOps(" publish , publish,* "); err != nil || got != AllOps {
		t.Errorf("with spaces: %v, %v", got, err)
	}
	for _, bad := range []string{"", ",", "subscribe,", "Subscribe", "read", "subscribe publish", strings.Repeat("x", 1000)} {
		if got, err := ParseOps(bad); err == nil || got != 0 || len(err.Error()) > 250 {
			t.Errorf("ParseOps(%.20q) = %v, %v; want an error of moderate length", bad, got, err)
		}
	}
	if Ops(0).String() != "none" {
		t.Errorf("String of nothing = %q", Ops(0).String())
	}
}
