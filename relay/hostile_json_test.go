package relay

import (
	"fmt"
	"strings"
	"testing"
)

// Channel names, everywhere one is taken.
func TestChannelNames(t *testing.T) {
	t.Parallel()
	cfg := openConfig()
	cfg.Limit.Commands.Count, cfg.Limit.Commands.Per = 1<<30, 1e9
	g := launch(t, cfg)
	p := g.ws("u1")
	good := []string{"a", "room:42", "A-Z_a-z.0~9@=/:", "..", ":", ":x", "a::b", "-", "~", strings.Repeat("x", 255), "/", "//", "a/b/../c"}
	bad := []string{"", ".", ".a", "*", ">", "room:*", "room.>", "a b", " a", "a ", "a\r", "a\n", "a\r\nb", "a\x00", "a\tb", "$SYS", "$", "a$", "#", "a#", "a+", "+", "a?", "a%20b",
		"é", "a\u2028", "日本", `a"`, `a\`, "a'", "a;b", "a,b", "a|b", "a{b}", "<a>", "a&b", "a!", "\x7f", strings.Repeat("x", 256)}
	for _, name := range good {
		if name == "." || name[0] == '.' {
			bad = append(bad, name)
			continue
		}
		q, _ := jsonString(name)
		p.say(`{"type":"subscribe","id":1,"channel":` + q + `}`)
		if m := p.want("subscribed"); m.Channel != name {
			t.Errorf("subscribed to %q as %q", name, m.Channel)
		}
		p.say(`{"type":"unsubscribe","id":1,"channel":` + q + `}`)
		p.want("ok")
	}
	for _, name := range bad {
		q, valid := jsonString(name)
		for _, command := range []string{"subscribe", "unsubscribe", "publish", "history", "presence"} {
			p.say(`{"type":"` + command + `","id":1,"data":1,"channel":` + q + `}`)
			if m := p.want("error"); m.Code != "bad_channel" || string(m.ID) != "1" {
				t.Errorf("%s %q: %s", command, name, m.raw)
			}
		}
		if name == "" || !valid {
			continue
		}
		g.api(400, "POST", "/v1/publish", `{"channel":`+q+`,"data":1}`)
		if a := g.ask("GET", "/sse?channel="+percent(name), "", "Authorization: Bearer "+mint(t, "u1")); a.StatusCode != 400 {
			t.Errorf("/sse of %q: %d", name, a.StatusCode)
		}
		if a := g.ask("GET", "/v1/channels/"+percent(name), "", "Authorization: Bearer "+apiKey); a.StatusCode != 400 && a.StatusCode != 414 {
			t.Errorf("state of %q: %d %s", name, a.StatusCode, a.body)
		}
	}
	// Groups and keys, up to 128 bytes.
	for name, ok := range map[string]bool{"k": true, "a:b/c@d=~._-": true, ".a": true, strings.Repeat("x", 128): true, strings.Repeat("x", 129): false, "a b": false, "*": false, "a\n": false, "é": false} {
		q, _ := jsonString(name)
		for _, field := range []string{"group", "key"} {
			other := map[string]string{"group": `"key":"k"`, "key": `"group":"g"`}[field]
			p.say(`{"type":"publish","channel":"names","data":1,` + other + `,"` + field + `":` + q + `}`)
			if m := p.next(); (m.Type == "ok") != ok || !ok && m.Code != "bad_name" {
				t.Errorf("%s %q: %s", field, name, m.raw)
			}
		}
	}
	p.alive()
}

func jsonString(s string) (quoted string, plain bool) {
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c < 0x20 || c == '"' || c == '\\':
			fmt.Fprintf(&b, `\u%04x`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String(), true
}

func percent(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		fmt.Fprintf(&b, "%%%02X", s[i])
	}
	return b.String()
}

// A malformed command is an error with its id, and the connection lives.
func TestHostileJSON(t *testing.T) {
	t.Parallel()
	cfg := openConfig()
	cfg.Limit.Commands.Count, cfg.Limit.Commands.Per = 1<<30, 1e9
	g := launch(t, cfg)
	p := g.ws("u1")
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	publish := func(data string) string { return `{"type":"publish","id":7,"channel":"a","data":` + data + `}` }
	for _, tt := range []struct{ name, command, code string }{
		{"31 deep", publish(deep(31)), ""},
		{"32 deep", publish(deep(32)), "invalid_json"},
		{"objects too deep", publish(strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40)), "invalid_json"},
		{"20,000 deep", publish(deep(20000)), "invalid_json"},
		{"20,000 brackets", publish(strings.Repeat("[", 20000)), "invalid_json"},
		{"depth in what is ignored", `{"id":7,"x":` + deep(40) + `,"type":"ping"}`, "invalid_json"},
		{"a member twice", `{"type":"ping","id":7,"type":"publish"}`, "bad_request"},
		{"channel twice", `{"type":"subscribe","id":7,"channel":"a","channel":"b"}`, "bad_request"},
		{"channel twice, once escaped", `{"type":"subscribe","id":7,"channel":"a","\u0063hannel":"b"}`, "bad_request"},
		{"id twice", `{"type":"ping","id":7,"id":8}`, "bad_request"},
		{"huge number", publish("1" + strings.Repeat("0", 10000)), ""},
		{"huge exponent", publish("1e999999999"), ""},
		{"huge ttl", `{"type":"publish","id":7,"channel":"a","key":"k","data":1,"ttl":1e400}`, "bad_request"},
		{"ttl beyond 64 bits", `{"type":"publish","id":7,"channel":"a","key":"k","data":1,"ttl":9223372036854775808}`, "bad_request"},
		{"ttl of ages", `{"type":"publish","id":7,"channel":"a","key":"k","data":1,"ttl":9223372036854775807}`, "bad_request"},
		{"negative ttl", `{"type":"publish","id":7,"channel":"a","key":"k","data":1,"ttl":-1}`, "bad_request"},
		{"negative limit", `{"type":"history","id":7,"channel":"a","limit":-1}`, "bad_request"},
		{"limit beyond int", `{"type":"history","id":7,"channel":"a","limit":99999999999999999999}`, "bad_request"},
		{"huge before", `{"type":"history","id":7,"channel":"a","before":18446744073709551615}`, ""},
		{"before too huge", `{"type":"history","id":7,"channel":"a","before":18446744073709551616}`, "bad_request"},
		{"huge seq", `{"type":"subscribe","id":7,"channel":"b","position":{"epoch":"x","seq":18446744073709551615}}`, ""},
		{"long epoch", `{"type":"subscribe","id":7,"channel":"c","position":{"epoch":"` + strings.Repeat("x", 10000) + `","seq":1}}`, ""},
		{"control character", publish("\"\x01\""), "invalid_json"},
		{"raw tab", publish("\"\t\""), "invalid_json"},
		{"raw line break", publish("\"\n\""), "invalid_json"},
		{"DEL is none", publish("\"\x7f\""), ""},
		{"escaped control character", publish(`"\u0001"`), ""},
		{"bad escape", publish(`"\x41"`), "invalid_json"},
		{"half a surrogate", publish(`"\ud800"`), ""},
		{"leading zero", publish("01"), "invalid_json"},
		{"plus", publish("+1"), "invalid_json"},
		{"NaN", publish("NaN"), "invalid_json"},
		{"Infinity", publish("-Infinity"), "invalid_json"},
		{"single quotes", publish("'x'"), "invalid_json"},
		{"comment", publish("/* */1"), "invalid_json"},
		{"trailing comma", publish("[1,]"), "invalid_json"},
		{"junk behind", publish("1") + "x", "invalid_json"},
		{"two objects", publish("1") + publish("1"), "invalid_json"},
		{"cut", `{"type":"ping","id":7`, "invalid_json"},
		{"empty", ``, "invalid_json"},
		{"white space", " \n ", "invalid_json"},
		{"a string", `"ping"`, "invalid_json"},
		{"null", `null`, "invalid_json"},
		{"byte order mark", "\ufeff" + `{"type":"ping"}`, "invalid_json"},
		{"NUL", "\x00", "invalid_json"},
		{"type missing", `{"id":7}`, "bad_request"},
		{"type of another kind", `{"id":7,"type":1}`, "bad_request"},
		{"unknown type", `{"id":7,"type":"x"}`, "unknown_type"},
		{"type in another case", `{"id":7,"type":"Ping"}`, "unknown_type"},
		{"very long type", `{"id":7,"type":"` + strings.Repeat("x", 10000) + `"}`, "unknown_type"},
		{"id an object", `{"type":"ping","id":{}}`, "bad_request"},
		{"id too long", `{"type":"ping","id":"` + strings.Repeat("x", 63) + `"}`, "bad_request"},
		{"no data", `{"type":"publish","id":7,"channel":"a"}`, "bad_request"},
		{"unknown op", `{"type":"publish","id":7,"channel":"a","data":1,"op":"drop"}`, "bad_request"},
		{"groups too many", `{"type":"subscribe","id":7,"channel":"a","groups":["a"` + strings.Repeat(`,"a"`, 16) + `]}`, "bad_request"},
		{"group with a space", `{"type":"subscribe","id":7,"channel":"a","groups":["a b"]}`, "bad_request"},
		{"nobody's topic", `{"type":"event","id":7,"topic":"chat.x","data":1}`, "forbidden"},
		{"topic that is no name", `{"type":"event","id":7,"topic":"a b","data":1}`, "bad_request"},
		{"not subscribed", `{"type":"unsubscribe","id":7,"channel":"zzz"}`, "not_subscribed"},
		{"array", `[{"type":"ping","id":7}]`, ""},
		{"array cut", `[{"type":"ping","id":7}`, "invalid_json"},
		{"array of arrays", `[[{"type":"ping"}]]`, "invalid_json"},
		{"array of junk", `[7]`, "invalid_json"},
	} {
		p.say(tt.command)
		m := p.next()
		if (m.Type == "error") != (tt.code != "") || m.Code != tt.code {
			t.Errorf("%s: %.200s, want %q", tt.name, m.raw, tt.code)
		}
		if strings.Contains(tt.command, `"id":7,`) && m.Code != "invalid_json" && tt.name != "id twice" && string(m.ID) != "7" {
			t.Errorf("%s: the answer has id %q: %.200s", tt.name, m.ID, m.raw)
		}
	}
	p.say(`[]`) // nothing asked, nothing answered
	p.noReply()
	if n := g.metric("weir_panics_total"); n != "0" {
		t.Errorf("%s panics", n)
	}
	// What a backend sends is read by the same scanner: an error a line, and the others stand.
	g.api(400, "POST", "/v1/publish", `{"channel":"a","data":`+deep(32)+`}`)
	a := g.ask("POST", "/v1/publish", "{\"channel\":\"a\",\"data\":1}\n{\"channel\":\"a\",\"data\":\"\x01\"}\nx\n\n{\"channel\":\"a\",\"data\":2}\n",
		"Content-Type: application/x-ndjson", "Authorization: Bearer "+apiKey)
	lines := strings.Split(strings.TrimSpace(a.body), "\n")
	if a.StatusCode != 200 || len(lines) != 4 || !strings.Contains(lines[0], "position") || !strings.Contains(lines[1], `"line":2`) || !strings.Contains(lines[2], `"line":3`) || !strings.Contains(lines[3], "position") {
		t.Errorf("NDJSON: %d %q", a.StatusCode, lines)
	}
	for _, body := range []string{`{"userId":"` + "\xff" + `"}`, "{\"userId\":\"\x01\"}", `{"userId":` + deep(40) + `}`, `{"userId":1}`, `[]`, ``, `{"userId":"a","connectionId":"b"}`, `{}`} {
		g.api(400, "POST", "/v1/disconnect", body)
	}
}
