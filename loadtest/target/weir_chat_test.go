package target

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"weir/loadtest/check"
)

// Rooms are made by their owner for their members; messages go to them and their stamps come back.
func TestChatRooms(t *testing.T) {
	asked := ""
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked += r.Method + " " + r.URL.Path + " " + r.Header.Get("Authorization") + " " + string(body) + "\n"
		w.WriteHeader(http.StatusCreated)
		_, _ = fmt.Fprintf(w, `{"id":"r%d"}`, strings.Count(asked, "\n"))
	}))
	defer srv.Close()
	w, _, _, err := New(Options{URL: srv.URL, System: chat})
	if err != nil {
		t.Fatal(err)
	}
	names, err := w.(Preparer).Prepare(t.Context(), "owner", "TOKEN", [][]string{{"u0", "u2"}, {"u1"}})
	if err != nil || fmt.Sprint(names) != "[room:r1 room:r2]" {
		t.Fatal(names, err)
	}
	if want := `POST /chat/rooms Bearer TOKEN {"isPrivate":true,"members":["u0","u2"],"name":"bench 0"}` + "\n"; !strings.HasPrefix(asked, want) {
		t.Error(asked)
	}
	stamp := check.Stamp{Number: 1}.Append(nil, 64)
	request := string(w.Publish(nil, []Message{{Channel: "room:r2", Data: stamp}}))
	if !strings.HasPrefix(request, "POST /chat/rooms/r2/messages HTTP/1.1\r\n") || !strings.Contains(request, "Bearer TOKEN") || !strings.HasSuffix(request, `{"content":"hello","metadata":`+string(stamp)+`}`) {
		t.Error(request)
	}
	if request := string(w.Publish(nil, []Message{{Channel: "room:r1", Data: []byte(`{"typing":true}`)}})); !strings.HasSuffix(request, `{"content":"hello"}`) {
		t.Error(request)
	}
	if w.Refused(201, nil, 1) != 0 || w.Refused(403, nil, 1) != 1 {
		t.Error("refused")
	}

	s := &Subscriber{Channels: []Followed{{Name: "room:r1"}}}
	seen := &told{t: t}
	typed := 0
	for n := range uint64(2 * typingEvery) {
		data := check.Stamp{Number: n + 1}.Append(nil, 64)
		reply, err := w.Read(s, fmt.Appendf(nil, `{"type":"channel_update","channel":"room:r1","seq":%d,"op":"send","data":{"type":"new_message","message":{"id":"m","metadata":%s},"user":{"id":"u"}}}`, n+1, data), seen)
		if err != nil || len(seen.numbers) != int(n)+1 {
			t.Fatal(seen.numbers, err)
		}
		if len(reply) > 0 {
			typed++
			if string(reply) != `{"type":"event","topic":"chat.typing.start","data":{"roomId":"r1"}}` {
				t.Error(string(reply))
			}
		}
	}
	if typed != 2 {
		t.Error("typed", typed)
	}
	for _, data := range []string{`{"userId":"u","startedAt":1}`, `{"type":"message_edited","message":{"metadata":{}}}`, `{"type":"new_message","message":{"id":"m"}}`, `7`} {
		if _, err := w.Read(s, []byte(`{"type":"channel_update","channel":"room:r1","seq":99,"op":"send","data":`+data+`}`), seen); err != nil || len(seen.numbers) != 2*typingEvery {
			t.Error(data, err)
		}
	}
	if seen.others != 4 {
		t.Error("others", seen.others)
	}
}

// A target that makes no room is an error that says so.
func TestChatRefuses(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	defer srv.Close()
	w, _, _, err := New(Options{URL: srv.URL, System: chat})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.(Preparer).Prepare(t.Context(), "owner", "", [][]string{{"u0"}}); err == nil || !strings.Contains(err.Error(), "404") {
		t.Error(err)
	}
}
