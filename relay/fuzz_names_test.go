package relay

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"weir/internal/wire"
	"weir/relay/hub"
)

var channelPattern = regexp.MustCompile(`\A[A-Za-z0-9_\-:/@~=][A-Za-z0-9_\-.:/@~=]{0,254}\z`)

// FuzzChannel holds the check of names against their description, and the names of users' own channels
// against each other: no two users may share one.
func FuzzChannel(f *testing.F) {
	for _, s := range []string{"a", "room:42", ".a", "a.b", "*", "room.>", "a b", "a\x00", "a\r\n", "$SYS", "é", "user:=7C", strings.Repeat("x", 255), strings.Repeat("x", 256), ""} {
		f.Add(s, "auth0|7")
		f.Add("auth0=7C7", s)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if got, want := wire.ValidChannel(a), channelPattern.MatchString(a); got != want {
			t.Fatalf("ValidChannel(%q) = %v, want %v", a, got, want)
		}
		if wire.ValidChannel(a) {
			q, err := json.Marshal(a) // needs no escape, anywhere
			if err != nil || string(q) != `"`+a+`"` {
				t.Fatalf("%q is escaped as %s", a, q)
			}
			if ns := wire.Namespace(a); strings.Contains(ns, ":") || !strings.HasPrefix(a, ns) {
				t.Fatalf("namespace of %q is %q", a, ns)
			}
		}
		ua, ub := wire.UserChannel(a), wire.UserChannel(b)
		if (ua == ub) != (a == b) {
			t.Fatalf("%q and %q have the channels %q and %q", a, b, ua, ub)
		}
		if a != "" && len(ua) <= wire.MaxChannel && !wire.ValidChannel(ua) {
			t.Fatalf("the channel of %q is %q", a, ua)
		}
		if wire.Namespace(ua) != wire.UserNamespace {
			t.Fatalf("the channel of %q is in %q", a, wire.Namespace(ua))
		}
	})
}

// FuzzEvent demands that what goes into an event stream comes out as it was: data and cursor whole, no
// event more or less, whatever the data holds.
func FuzzEvent(f *testing.F) {
	for _, s := range []string{`1`, `"a\nb"`, "{\"a\":\n1}", "{\"a\":\r\n[\r1]}", `"data: x"`, `"\u000a\u000d"`, `" "`, `":x"`, "\"\u2028\"", "\"\ufeff\"", `"id: 7"`, `"event: x\n\n"`, "[\n\n]"} {
		f.Add([]byte(s), "room:1", "epoch", uint64(7))
	}
	f.Fuzz(func(t *testing.T, data []byte, channel, epoch string, seq uint64) {
		if !wire.ValidChannel(channel) || len(epoch) > 64 {
			return
		}
		body := append(append([]byte(`{"channel":"a","data":`), data...), '}')
		var c wire.Command
		if c.Parse(body) != nil || c.Data == nil {
			return
		}
		change := append(append([]byte(`{"seq":1,"op":"send","data":`), c.Data...), '}')
		cursor, _ := wire.AppendCursor(nil, nil, []wire.Mark{{Channel: wire.ChannelHash(channel), Epoch: epoch, Seq: seq}})
		payloads := [][]byte{wire.AppendUpdate(nil, channel, change), wire.AppendBatch(nil, channel, bytes.Join([][]byte{change, change}, []byte(","))), wire.AppendOwn(nil, change)}
		var stream []byte
		for _, p := range payloads {
			stream = wire.AppendEventID(hub.EncodePayload(hub.SSE, "channel_update", p), cursor)
			list := events(string(stream) + ":heartbeat\n\n" + string(stream))
			if len(list) != 2 {
				t.Fatalf("%d events of two: %q", len(list), stream)
			}
			for _, e := range list {
				if e.name != "channel_update" || e.data != string(p) || e.id != string(cursor) {
					t.Fatalf("%+v, want %q and %s", e, p, cursor)
				}
				if !json.Valid([]byte(e.data)) {
					t.Fatalf("not JSON: %q", e.data)
				}
			}
		}
	})
}

// FuzzCursor demands that a cursor says what it was made of, and that of what is none nothing comes but an
// error.
func FuzzCursor(f *testing.F) {
	f.Add([]byte("AQ"), uint32(7), "epoch", uint64(3), uint64(1<<63))
	f.Add([]byte(""), uint32(0), "", uint64(0), uint64(0))
	f.Add([]byte("AbHPJJINN2FibGF2YzN2NDJxMADkDCksDTdhYmxhdmMzdjQycTAA"), uint32(1<<31), strings.Repeat("e", 64), ^uint64(0), uint64(5))
	f.Fuzz(func(t *testing.T, b []byte, channel uint32, epoch string, seq, other uint64) {
		if marks, err := wire.ParseCursor(b); err == nil {
			if len(marks) > len(b) {
				t.Fatalf("%d marks of %d bytes", len(marks), len(b))
			}
			again, _ := wire.AppendCursor(nil, nil, marks)
			back, err := wire.ParseCursor(again)
			if err != nil || !slices.Equal(back, marks) {
				t.Fatalf("%q says %v, written anew %v, %v", b, marks, back, err)
			}
		}
		if len(epoch) > 64 {
			return
		}
		marks := []wire.Mark{{Channel: channel, Epoch: epoch, Seq: seq}, {Channel: channel + 1, Epoch: epoch, Seq: other}}
		cursor, _ := wire.AppendCursor(nil, nil, marks)
		if i := bytes.IndexAny(cursor, "\r\n\x00: "); i >= 0 {
			t.Fatalf("the cursor %q holds %q", cursor, cursor[i])
		}
		back, err := wire.ParseCursor(cursor)
		if err != nil || !slices.Equal(back, marks) {
			t.Fatalf("%v became %v, %v", marks, back, err)
		}
	})
}

// FuzzClose demands that a close frame is one, and that its reason stays UTF-8 when it is cut: a client would
// take the connection for broken.
func FuzzClose(f *testing.F) {
	f.Add(uint16(1000), "bye")
	f.Add(uint16(4008), strings.Repeat("é", 200))
	f.Add(uint16(4003), "x"+strings.Repeat("😀", 100))
	f.Fuzz(func(t *testing.T, code uint16, reason string) {
		frame := wire.CloseFrame(int(code), strings.ToValidUTF8(reason, "?"))
		if frame[0] != fin|wire.OpClose || int(frame[1]) != len(frame)-2 || len(frame) > 127 {
			t.Fatalf("%x", frame)
		}
		if s := string(frame[4:]); strings.ToValidUTF8(s, "") != s {
			t.Fatalf("the reason is cut inside a character: %q", s)
		}
	})
}
