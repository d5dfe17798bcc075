package wire

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestNames(t *testing.T) {
	for name, want := range map[string]bool{
		"room:42": true, "a": true, strings.Repeat("x", 255): true, "a/b@c~d=e._-": true, ".a": false, "": false, strings.Repeat("x", 256): false,
		"a b": false, "a\nb": false, "a\x00": false, "room:*": false, "a>b": false, "$sys": false, "é": false,
	} {
		if got := ValidChannel(name); got != want {
			t.Errorf("ValidChannel(%q) = %v", name, got)
		}
		if got := ValidChannel([]byte(name)); got != want {
			t.Errorf("ValidChannel([]byte(%q)) = %v", name, got)
		}
	}
	if !ValidName(".k") || ValidName(strings.Repeat("x", 129)) || ValidName("") {
		t.Error("ValidName takes 1 to 128 bytes of the alphabet")
	}
	for channel, want := range map[string]string{"room:42": "room", "room": "", ":x": "", "a:b:c": "a"} {
		if got := Namespace(channel); got != want {
			t.Errorf("Namespace(%q) = %q, want %q", channel, got, want)
		}
	}
}

func TestUserChannel(t *testing.T) {
	for id, want := range map[string]string{"u1": "user:u1", "auth0|7": "user:auth0=7C7", "a=7Cb": "user:a=3D7Cb", "é": "user:=C3=A9", "a b": "user:a=20b"} {
		if got := UserChannel(id); got != want || !ValidChannel(got) {
			t.Errorf("UserChannel(%q) = %q, want %q", id, got, want)
		}
	}
}

// FuzzUserChannel holds that no two users share a channel.
func FuzzUserChannel(f *testing.F) {
	f.Add("a|b", "a=7Cb")
	f.Fuzz(func(t *testing.T, a, b string) {
		if a != b && UserChannel(a) == UserChannel(b) {
			t.Fatalf("%q and %q share %q", a, b, UserChannel(a))
		}
	})
}

func TestFrameHeaders(t *testing.T) {
	for n, want := range map[int]string{0: "\x81\x00", 125: "\x81\x7d", 126: "\x81\x7e\x00\x7e", 65535: "\x81\x7e\xff\xff", 65536: "\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00"} {
		if got := string(AppendHeader(nil, OpText, false, n)); got != want {
			t.Errorf("header for %d bytes: %x, want %x", n, got, want)
		}
	}
	if got := AppendHeader(nil, OpText, true, 5); got[0] != 0xc1 {
		t.Errorf("compressed: first byte %x", got[0])
	}
	if got := CloseFrame(4003, strings.Repeat("é", 100)); !utf8.Valid(got[4:]) || len(got) != 2+2+122 {
		t.Errorf("a reason cut to %d bytes: %q", len(got)-4, got[4:])
	}
	if got := CloseFrame(4100, strings.Repeat("r", 200)); len(got) != 2+125 || got[2] != 4100>>8 || got[3] != 4100&0xff {
		t.Errorf("close frame of %d bytes: %x", len(got), got[:6])
	}
}

func TestEnvelopes(t *testing.T) {
	change := []byte(`{"seq":7,"op":"send","data":{"n":1}}`)
	for want, got := range map[string][]byte{
		`{"type":"channel_update","channel":"a:b","seq":7,"op":"send","data":{"n":1}}`:                 AppendUpdate(nil, "a:b", change),
		`{"type":"update","seq":7,"op":"send","data":{"n":1}}`:                                         AppendOwn(nil, change),
		`{"type":"batch","channel":"a:b","messages":[{"seq":7,"op":"send","data":{"n":1}},{"seq":8}]}`: AppendBatch(nil, "a:b", append(change, `,{"seq":8}`...)),
		`{"epoch":"e1","seq":18446744073709551615}`:                                                    AppendPosition(nil, "e1", 1<<64-1),
		"event: update\ndata: {}\nid: abc\n\n":                                                         AppendEventID(AppendEvent(nil, "update", []byte("{}")), []byte("abc")),
	} {
		if string(got) != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestAppendString(t *testing.T) {
	for _, s := range []string{"", "plain", `qu"ote`, `back\slash`, "line\nbreak", "é😅", "\x00\x7f", "<script>&", "\xff"} {
		var back string
		if err := json.Unmarshal(AppendString(nil, s), &back); err != nil || back != strings.ToValidUTF8(s, "\ufffd") {
			t.Errorf("%q came back as %q, %v", s, back, err)
		}
	}
}

func TestCursor(t *testing.T) {
	marks := []Mark{{ChannelHash("a"), "epoch1", 0}, {ChannelHash("b"), "", 1<<64 - 1}, {ChannelHash("c"), strings.Repeat("e", 64), 300}}
	cursor, _ := AppendCursor(nil, nil, marks)
	if strings.ContainsAny(string(cursor), "\r\n\x00 ") {
		t.Errorf("%q cannot stand in an event", cursor)
	}
	back, err := ParseCursor(cursor)
	if err != nil || len(back) != 3 || back[0] != marks[0] || back[1] != marks[1] || back[2] != marks[2] {
		t.Errorf("%v, %v", back, err)
	}
	for _, bad := range []string{"", "!", "AA", "AQ", string(cursor[:len(cursor)-1]) + "!", string(cursor[:20]), strings.Repeat("A", maxCursor+1)} {
		if marks, err := ParseCursor([]byte(bad)); err == nil && len(marks) > 0 || err != nil && !errors.Is(err, errCursor) {
			t.Errorf("ParseCursor(%.20q) = %v, %v", bad, marks, err)
		}
	}
}

func FuzzParseCursor(f *testing.F) {
	cursor, _ := AppendCursor(nil, nil, []Mark{{1, "e", 2}})
	f.Add(cursor)
	f.Fuzz(func(t *testing.T, b []byte) {
		marks, err := ParseCursor(b)
		if err != nil {
			return
		}
		again, _ := AppendCursor(nil, nil, marks)
		if back, err := ParseCursor(again); err != nil || len(back) != len(marks) {
			t.Fatalf("%q: %v came back as %v, %v", b, marks, back, err)
		}
	})
}
