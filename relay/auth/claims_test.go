package auth

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"weir/internal/wire"
)

// claimsText adds members to the least that a token needs.
func claimsText(extra string) string {
	return fmt.Sprintf(`{"sub":"u1","exp":%d%s}`, noon.Add(time.Hour).Unix(), extra)
}

func verifyClaims(t testing.TB, v *Verifier, text string) (*Identity, error) {
	t.Helper()
	token := raw(secret, `{"alg":"HS256"}`, text)
	id, err := v.Verify(token)
	if err != nil {
		wantReason(t, err, ReasonOf(err), token)
	}
	return id, err
}

func TestIdentityOfAToken(t *testing.T) {
	v := newVerifier(t, Config{Keys: []TokenKey{{Algorithm: "HS256", Secret: secret}}})
	least := Identity{User: "u1", Expires: MomentOf(noon.Add(time.Hour))}
	for _, tt := range []struct {
		name, claims string
		want         func(*Identity)
	}{
		{"the least", claimsText(""), func(*Identity) {}},
		{"white space", " {\n\t\"sub\" : \"u1\" , \"exp\" : " + fmt.Sprint(noon.Add(time.Hour).Unix()) + "\r\n}\n", func(*Identity) {}},
		{"unknown claims", claimsText(`,"x":{"sub":"root","a":[1,-2.5e+3,true,false,null,"\u00e9"]},"Sub":"root","SUB":"root","y":{},"z":[]`), func(*Identity) {}},
		{"iat is anything", claimsText(`,"iat":true`), func(*Identity) {}},
		{"iat is beyond all dates", claimsText(`,"iat":1e300`), func(*Identity) {}},
		{"iat is text", claimsText(`,"iat":"2026-11-28T12:00:00Z"`), func(*Identity) {}},
		{"null is absent", claimsText(`,"name":null,"avatar":null,"roles":null,"channels":null,"nbf":null,"iat":null,"iss":null,"aud":null`), func(*Identity) {}},
		{"empty lists", claimsText(`,"roles":[],"channels":{}`), func(*Identity) {}},
		{"empty list of channels", claimsText(`,"channels":[]`), func(*Identity) {}},
		{"exp with a fraction", fmt.Sprintf(`{"sub":"u1","exp":%d.999}`, noon.Add(time.Hour).Unix()), func(*Identity) {}},
		{"exp with an exponent", `{"sub":"u1","exp":2e9}`, func(id *Identity) { id.Expires = MomentOf(time.Unix(2e9, 0)) }},
		{"name and avatar", claimsText(`,"name":"Ada \ud83d\udc69\u200d\ud83d\udcbb","avatar":"https://a/b.png"`), func(id *Identity) {
			id.Name, id.Avatar = "Ada \U0001F469\u200d\U0001F4BB", "https://a/b.png"
		}},
		{"escaped name of a claim", claimsText(`,"n\u0061me":"Ada"`), func(id *Identity) { id.Name = "Ada" }},
		{"sub in another script", strings.Replace(claimsText(""), "u1", "zoë|日本", 1), func(id *Identity) { id.User = "zoë|日本" }},
		{"roles", claimsText(`,"roles":["a","b"]`), func(id *Identity) { id.Roles = []string{"a", "b"} }},
		{"channels as an object", claimsText(`,"channels":{"room:*":["subscribe","publish"],"doc:1":["*"]}`), func(id *Identity) {
			id.Grants = []Grant{{"room:*", Subscribe | Publish}, {"doc:1", AllOps}}
		}},
		{"channels as a list", claimsText(`,"channels":[{"pattern":"room:*","ops":["history"]},{"ops":["presence"],"pattern":"*"}]`), func(id *Identity) {
			id.Grants = []Grant{{"room:*", History}, {"*", Presence}}
		}},
		{"{user}", claimsText(`,"channels":{"user:{user}":["subscribe"],"dm:{user}:*":["subscribe"],"{user}:{user}":["publish"]}`), func(id *Identity) {
			id.Grants = []Grant{{"user:u1", Subscribe}, {"dm:u1:*", Subscribe}, {"u1:u1", Publish}}
		}},
		{"{user} before sub", fmt.Sprintf(`{"channels":{"user:{user}":["subscribe"]},"exp":%d,"sub":"u1"}`, noon.Add(time.Hour).Unix()), func(id *Identity) {
			id.Grants = []Grant{{"user:u1", Subscribe}}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			id, err := verifyClaims(t, v, tt.claims)
			if err != nil {
				t.Fatal(err)
			}
			want := least
			tt.want(&want)
			if id.Expires != want.Expires {
				t.Errorf("Expires = %v, want %v", id.Expires.Time(), want.Expires.Time())
			}
			id.Expires = want.Expires
			if !reflect.DeepEqual(*id, want) {
				t.Errorf("identity = %+v\nwant %+v", *id, want)
			}
		})
	}
}

func TestClaimsThatAreRefused(t *testing.T) {
	v := newVerifier(t, Config{Keys: []TokenKey{{Algorithm: "HS256", Secret: secret}}})
	list := func(n int, format string) string {
		parts := make([]string, n)
		for i := range parts {
			parts[i] = strings.ReplaceAll(format, "#", fmt.Sprint(i))
		}
		return strings.Join(parts, ",")
	}
	sub := func(value string) string { return strings.Replace(claimsText(""), `"u1"`, value, 1) }
	exp := func(value string) string { return `{"sub":"u1","exp":` + value + `}` }
	for _, tt := range []struct {
		name, claims string
		want         Reason
	}{
		{"empty", ``, ReasonMalformed},
		{"null", `null`, ReasonMalformed},
		{"a list", `[]`, ReasonMalformed},
		{"a string", `"x"`, ReasonMalformed},
		{"cut", `{"sub":"u1"`, ReasonMalformed},
		{"comma at the end", `{"sub":"u1",}`, ReasonMalformed},
		{"no colon", `{"sub" "u1"}`, ReasonMalformed},
		{"text behind", claimsText("") + "x", ReasonMalformed},
		{"two objects", claimsText("") + claimsText(""), ReasonMalformed},
		{"NUL behind", claimsText("") + "\x00", ReasonMalformed},
		{"byte order mark", "\ufeff" + claimsText(""), ReasonMalformed},
		{"not UTF-8", claimsText(",\"x\":\"\xff\""), ReasonMalformed},
		{"too deep", claimsText(`,"x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40)), ReasonMalformed},
		{"too deep objects", claimsText(`,"x":` + strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40)), ReasonMalformed},
		{"control character", claimsText(",\"x\":\"a\x01b\""), ReasonMalformed},
		{"half a surrogate pair", claimsText(`,"x":"\ud800"`), ReasonMalformed},
		{"bad escape", claimsText(`,"x":"\q"`), ReasonMalformed},
		{"escape at the end", `{"x":"\`, ReasonMalformed},
		{"bad literal", claimsText(`,"x":nul`), ReasonMalformed},
		{"bad number", claimsText(`,"x":01`), ReasonMalformed},
		{"plus", claimsText(`,"x":+1`), ReasonMalformed},
		{"no digits", claimsText(`,"x":1.`), ReasonMalformed},
		{"no exponent", claimsText(`,"x":1e`), ReasonMalformed},
		{"NaN", exp(`NaN`), ReasonMalformed},

		{"no sub", `{"exp":9999999999}`, ReasonClaims},
		{"sub null", sub(`null`), ReasonClaims},
		{"sub empty", sub(`""`), ReasonClaims},
		{"sub a number", sub(`42`), ReasonClaims},
		{"sub an object", sub(`{}`), ReasonClaims},
		{"sub 129 bytes", sub(`"` + strings.Repeat("u", 129) + `"`), ReasonClaims},
		{"sub with a line break", sub(`"u\n1"`), ReasonClaims},
		{"sub with ESC", sub(`"\u001b[31m"`), ReasonClaims},
		{"sub with NUL", sub(`"u\u0000"`), ReasonClaims},
		{"sub with a right-to-left override", sub(`"\u202e1u"`), ReasonClaims},
		{"sub with a line separator", sub(`"\u2028"`), ReasonClaims},
		{"sub twice", claimsText(`,"sub":"u2"`), ReasonClaims},
		{"sub twice, one escaped", claimsText(`,"\u0073ub":"u2"`), ReasonClaims},
		{"Sub alone", `{"Sub":"u1","exp":9999999999}`, ReasonClaims},

		{"no exp", `{"sub":"u1"}`, ReasonClaims},
		{"exp null", exp(`null`), ReasonClaims},
		{"exp a string", exp(`"9999999999"`), ReasonClaims},
		{"exp zero", exp(`0`), ReasonClaims},
		{"exp negative", exp(`-1`), ReasonClaims},
		{"exp a negative fraction", exp(`-0.5`), ReasonClaims},
		{"exp 1e400", exp(`1e400`), ReasonClaims},
		{"exp 1e300", exp(`1e300`), ReasonClaims},
		{"exp past the year 9999", exp(`253402300800`), ReasonClaims},
		{"exp 500 digits", exp(strings.Repeat("9", 500)), ReasonClaims},
		{"exp a list", exp(`[1]`), ReasonClaims},
		{"exp twice", exp(`9999999999,"exp":9999999999`), ReasonClaims},
		{"exp null and given", exp(`null,"exp":9999999999`), ReasonClaims},
		{"nbf a string", claimsText(`,"nbf":"0"`), ReasonClaims},
		{"iat twice", claimsText(`,"iat":1,"iat":1`), ReasonClaims},
		{"nbf twice", claimsText(`,"nbf":1,"nbf":1`), ReasonClaims},
		{"iss twice", claimsText(`,"iss":"a","iss":"a"`), ReasonClaims},
		{"aud twice", claimsText(`,"aud":"a","aud":"a"`), ReasonClaims},

		{"name a number", claimsText(`,"name":1`), ReasonClaims},
		{"name 257 bytes", claimsText(`,"name":"` + strings.Repeat("n", 257) + `"`), ReasonClaims},
		{"name with CR", claimsText(`,"name":"a\rb"`), ReasonClaims},
		{"name twice", claimsText(`,"name":"a","name":"a"`), ReasonClaims},
		{"avatar 2049 bytes", claimsText(`,"avatar":"` + strings.Repeat("n", 2049) + `"`), ReasonClaims},
		{"avatar with NUL", claimsText(`,"avatar":"\u0000"`), ReasonClaims},

		{"roles a string", claimsText(`,"roles":"admin"`), ReasonClaims},
		{"roles of numbers", claimsText(`,"roles":[1]`), ReasonClaims},
		{"an empty role", claimsText(`,"roles":[""]`), ReasonClaims},
		{"a role of 129 bytes", claimsText(`,"roles":["` + strings.Repeat("r", 129) + `"]`), ReasonClaims},
		{"65 roles", claimsText(`,"roles":[` + list(65, `"r#"`) + `]`), ReasonClaims},
		{"roles twice", claimsText(`,"roles":["a"],"roles":["admin"]`), ReasonClaims},

		{"channels a string", claimsText(`,"channels":"room:*"`), ReasonClaims},
		{"channels of strings", claimsText(`,"channels":["room:42:subscribe,publish"]`), ReasonClaims},
		{"channels true", claimsText(`,"channels":true`), ReasonClaims},
		{"65 channels", claimsText(`,"channels":{` + list(65, `"r:#":["*"]`) + `}`), ReasonClaims},
		{"65 channels in a list", claimsText(`,"channels":[` + list(65, `{"pattern":"r","ops":["*"]}`) + `]`), ReasonClaims},
		{"channels twice", claimsText(`,"channels":{},"channels":{"*":["*"]}`), ReasonClaims},
		{"ops a string", claimsText(`,"channels":{"room:*":"subscribe"}`), ReasonClaims},
		{"ops of numbers", claimsText(`,"channels":{"room:*":[1]}`), ReasonClaims},
		{"no ops", claimsText(`,"channels":{"room:*":[]}`), ReasonClaims},
		{"unknown op", claimsText(`,"channels":{"room:*":["subscribe","admin"]}`), ReasonClaims},
		{"two ops in one string", claimsText(`,"channels":{"room:*":["subscribe,publish"]}`), ReasonClaims},
		{"op in another case", claimsText(`,"channels":{"room:*":["Subscribe"]}`), ReasonClaims},
		{"no pattern", claimsText(`,"channels":[{"ops":["*"]}]`), ReasonClaims},
		{"pattern null", claimsText(`,"channels":[{"pattern":null,"ops":["*"]}]`), ReasonClaims},
		{"pattern twice", claimsText(`,"channels":[{"pattern":"a","pattern":"*","ops":["*"]}]`), ReasonClaims},
		{"no ops member", claimsText(`,"channels":[{"pattern":"a"}]`), ReasonClaims},
		{"another member", claimsText(`,"channels":[{"pattern":"a","ops":["*"],"deny":true}]`), ReasonClaims},
		{"empty pattern", claimsText(`,"channels":{"":["*"]}`), ReasonClaims},
		{"long pattern", claimsText(`,"channels":{"` + strings.Repeat("p", 256) + `":["*"]}`), ReasonClaims},
		{"star in the middle", claimsText(`,"channels":{"room:*:x":["*"]}`), ReasonClaims},
		{"star behind letters", claimsText(`,"channels":{"room*":["*"]}`), ReasonClaims},
		{"two stars", claimsText(`,"channels":{"**":["*"]}`), ReasonClaims},
		{"a space", claimsText(`,"channels":{"room: *":["*"]}`), ReasonClaims},
		{"a leading dot", claimsText(`,"channels":{".room":["*"]}`), ReasonClaims},
		{"unknown braces", claimsText(`,"channels":{"user:{id}":["*"]}`), ReasonClaims},
		{"{user} that makes it too long", sub(`"` + strings.Repeat("u", 128) + `","channels":{"{user}{user}":["*"]}`), ReasonClaims},
		{"{user} with a star", sub(`"*","channels":{"user:{user}":["*"]}`), ReasonClaims},
		{"{user} with a separator", sub(`"a:b","channels":{"dm:{user}:*":["*"]}`), ReasonClaims},
		{"{user} with braces", sub(`"{user}","channels":{"dm:{user}":["*"]}`), ReasonClaims},
		{"{user} in another script", sub(`"zoë","channels":{"dm:{user}":["*"]}`), ReasonClaims},
		{"{user} with a dot in front", sub(`".u","channels":{"{user}:*":["*"]}`), ReasonClaims},
	} {
		t.Run(tt.name, func(t *testing.T) {
			id, err := verifyClaims(t, v, tt.claims)
			if err == nil {
				t.Fatalf("accepted as %+v", id)
			}
			if got := ReasonOf(err); got != tt.want {
				t.Errorf("err = %v, want %q", err, tt.want)
			}
		})
	}
	for _, claims := range []string{ // the largest that pass
		sub(`"` + strings.Repeat("u", 128) + `"`),
		claimsText(`,"name":"` + strings.Repeat("n", 256) + `","avatar":"` + strings.Repeat("a", 2048) + `"`),
		claimsText(`,"roles":[` + list(64, `"r#"`) + `],"channels":{` + list(64, `"r:#":["*"]`) + `}`),
		claimsText(`,"x":` + strings.Repeat("[", 31) + strings.Repeat("]", 31)),
		claimsText(`,"channels":{"` + strings.Repeat("p", 255) + `":["*"]}`),
		sub(`"*"`), // harmless where no pattern asks for it
		exp(`253402300799`),
	} {
		if _, err := verifyClaims(t, v, claims); err != nil {
			t.Errorf("%.60s: %v", claims, err)
		}
	}
}

// Backends whose ids are numbers put them into sub as they are: the reason says what is wanted instead.
func TestNumericSubjectIsExplained(t *testing.T) {
	v := newVerifier(t, Config{Keys: []TokenKey{{Algorithm: "HS256", Secret: secret}}})
	for _, sub := range []string{"42", "-1", "0"} {
		if _, err := verifyClaims(t, v, `{"sub":`+sub+`,"exp":9999999999}`); err == nil || !strings.Contains(err.Error(), `sub is a number: expected a string, such as "42"`) {
			t.Errorf("%s: %v", sub, err)
		}
	}
}

// An escaped and a plain spelling of one text are one text, and half a surrogate pair is none.
func TestEscapes(t *testing.T) {
	for _, quoted := range []string{`""`, `"a"`, `"a\"b"`, `"\\"`, `"\\\""`, `"\\ud800"`, `"\/\b\f\n\r\t"`, `"\u0041"`, `"\ud83d\ude00"`, `"\uD83D\uDE00x"`, `"é"`, `"\u00e9"`, `"\ufffd"`} {
		got, want := "", ""
		err := members([]byte(`{"a":`+quoted+`}`), func(_ string, v []byte) (err error) {
			got, err = wire.Text(v)
			return err
		})
		if jsonErr := json.Unmarshal([]byte(quoted), &want); err != nil || jsonErr != nil || got != want {
			t.Errorf("text of %s = %q, %v; want %q, %v", quoted, got, err, want, jsonErr)
		}
	}
	for _, quoted := range []string{`"\ud800"`, `"a\udc00"`, `"\ud800\u0041"`, `"\ud800\\udc00"`, `"\ude00\ud83d"`, `["\ud8`, `"\u12`, `"\`} {
		for _, text := range []string{`{"a":` + quoted + `}`, `{` + quoted + `:1}`} {
			if err := members([]byte(text), func(string, []byte) error { return nil }); !isSyntax(err) {
				t.Errorf("%s: %v", text, err)
			}
		}
	}
}
