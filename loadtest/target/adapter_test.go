package target

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"weir/loadtest/codec"
)

// heard is a Sink that writes down what it is told.
type heard []string

func (h *heard) Delivered(followed int, seq uint64, key, data []byte, deleted bool) {
	*h = append(*h, fmt.Sprintf("%d/%d/%s/%s/%v", followed, seq, key, data, deleted))
}
func (h *heard) Reset(followed int) { *h = append(*h, fmt.Sprintf("reset %d", followed)) }

// dialogue is how a subscriber gets subscribed and what it reads then.
type dialogue struct {
	name  string
	o     Options
	open  string   // first line of the request, and what else must be in it
	greet []string // replies, to nil and then to each of says
	says  []string
	reads map[string]string // message to what is heard, then " -> " and the reply
	one   string            // a publish of one message
	many  string            // of two, where there is such a thing
}

func TestAdapters(t *testing.T) {
	two := []Followed{{Name: "a:1"}, {Name: "b", Epoch: "e", Seq: 7, Known: true}}
	tests := []dialogue{
		{
			name: "weir", o: Options{Name: "weir", URL: "http://h:1/base", Key: "k"},
			open:  "GET /base/ws?channel=a%3A1&position=&channel=b&position=e:7 HTTP/1.1\r\nHost: h:1\r\nSec-WebSocket-Protocol: weir\r\nAuthorization: Bearer tok\r\n",
			says:  []string{`{"type":"connected","channels":2}`, `{"type":"subscribed","channel":"a:1","position":{"epoch":"x","seq":3},"recovered":false,"state":{}}`, `{"type":"subscribed","channel":"b","position":{"epoch":"e","seq":8},"recovered":true,"changes":[{"seq":8,"op":"send","data":1}]}`},
			greet: []string{"", "", "", ""},
			reads: map[string]string{
				`{"type":"channel_update","channel":"b","seq":9,"op":"set","group":"g","key":"k1","data":{"x":"a\"}b"}}`:                      `1/9/k1/{"x":"a\"}b"}/false`,
				`{"type":"batch","channel":"a:1","messages":[{"seq":4,"op":"send","data":4},{"seq":5,"op":"delete","key":"q"}]}`:              `0/4//4/false 0/5/q//true`,
				`{"type":"batch","messages":[{"type":"channel_update","channel":"b","seq":10,"op":"send","data":[]},{"type":"ok","id":"3"}]}`: `1/10//[]/false`,
				`{"type":"channel_update","channel":"unknown","seq":9,"op":"send","data":1}`:                                                  ``,
				`{"type":"update","seq":1,"op":"send","data":1}`:                                                                              ``,
				`{"type":"resync","channel":"b","position":{"epoch":"f","seq":1},"state":{},"lost":true}`:                                     `reset 1`,
				`{"type":"batch","channel":"other","messages":[{"seq":4,"op":"send","data":4}]}`:                                              ``,
				` { "type" : "channel_update" , "channel" : "b" , "seq" : 2 , "data" : { "n" : [ 1 , "]" , null ] } , "future" : { } } `:      `1/2//{ "n" : [ 1 , "]" , null ] }/false`,
			},
			one:  "POST /base/v1/publish HTTP/1.1\r\nHost: h:1\r\nAuthorization: Bearer k\r\nContent-Type: application/json\r\nContent-Length: 68\r\n\r\n" + `{"channel":"a:1","group":"g","key":"k1","ttl":50,"data":{"d":"one"}}`,
			many: "Content-Type: application/x-ndjson\r\nContent-Length: 97\r\n\r\n" + `{"channel":"a:1","group":"g","key":"k1","ttl":50,"data":{"d":"one"}}` + "\n" + `{"channel":"é\"","data":2}`,
		},
		{
			name: "centrifugo", o: Options{Name: "centrifugo", URL: "http://h:1", Key: "k"},
			open:  "GET /connection/websocket HTTP/1.1\r\n",
			says:  []string{`{"id":1,"connect":{"client":"c"}}` + "\n" + `{"id":2,"subscribe":{}}`, `{"id":3,"subscribe":{}}`},
			greet: []string{`{"id":1,"connect":{"token":"tok"}}` + "\n" + `{"id":2,"subscribe":{"channel":"a:1"}}` + "\n" + `{"id":3,"subscribe":{"channel":"b"}}`, "", ""},
			reads: map[string]string{
				`{"push":{"channel":"b","pub":{"data":{"x":1},"offset":4}}}` + "\n" + `{"push":{"channel":"a:1","pub":{"data":2}}}`: `1/4//{"x":1}/false 0/0//2/false`,
				`{}`: ` -> {}`,
				`{"push":{"channel":"b","join":{"info":{}}}}`: ``,
			},
			one:  "X-API-Key: k\r\nContent-Type: application/json\r\nContent-Length: 36\r\n\r\n" + `{"channel":"a:1","data":{"d":"one"}}`,
			many: "/api/batch HTTP/1.1",
		},
		{
			name: "pusher", o: Options{Name: "pusher", URL: "http://h:1", Key: "app:key:secret"},
			open:  "GET /app/key?protocol=7&client=weir-bench&version=1 HTTP/1.1\r\n",
			says:  []string{`{"event":"pusher:connection_established","data":"{}"}`, `{"event":"pusher_internal:subscription_succeeded","channel":"a-1","data":"{}"}`, `{"event":"pusher_internal:subscription_succeeded","channel":"b"}`},
			greet: []string{"", `{"event":"pusher:subscribe","data":{"channel":"a-1"}}`, `{"event":"pusher:subscribe","data":{"channel":"b"}}`, ""},
			reads: map[string]string{
				`{"event":"bench","channel":"a-1","data":"{\"d\":\"one\"}"}`: `0/0//{"d":"one"}/false`,
				`{"event":"bench","channel":"b","data":"\u007b\u007d"}`:      `1/0//{}/false`,
				`{"event":"pusher:ping","data":{}}`:                          ` -> {"event":"pusher:pong","data":{}}`,
				`{"event":"else","channel":"b","data":"1"}`:                  ``,
			},
			one:  `{"name":"bench","channel":"a-1","data":"{\"d\":\"one\"}"}`,
			many: `{"batch":[{"name":"bench","channel":"a-1","data":"{\"d\":\"one\"}"},{"name":`,
		},
		{
			name: "mercure", o: Options{Name: "mercure", URL: "http://h:1/base", Key: "k"},
			open:  "GET /base/.well-known/mercure?topic=a%3A1&topic=b HTTP/1.1\r\nHost: h:1\r\nAuthorization: Bearer tok\r\n",
			greet: []string{""},
			reads: map[string]string{`{"x":1}`: `0/0//{"x":1}/false`},
			one:   "POST /base/.well-known/mercure HTTP/1.1\r\nHost: h:1\r\nAuthorization: Bearer k\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 42\r\n\r\ntopic=a%3A1&data=%7B%22d%22%3A%22one%22%7D",
		},
		{
			name: "nchan", o: Options{Name: "nchan", URL: "http://h:1"},
			open: "GET /sub?id=a%3A1 HTTP/1.1\r\n", greet: []string{""}, reads: map[string]string{`{"d":1}`: `0/0//{"d":1}/false`},
			one: "POST /pub?id=a%3A1 HTTP/1.1\r\nHost: h:1\r\nContent-Length: 11\r\n\r\n" + `{"d":"one"}`,
		},
		{
			name: "nchan elsewhere", o: Options{Name: "nchan", URL: "http://h:1/s/{channel}", Publish: "http://h:2/p?c={channel}"},
			open: "GET /s/a%3A1 HTTP/1.1\r\nHost: h:1\r\n", greet: []string{""}, one: "POST /p?c=a%3A1 HTTP/1.1\r\nHost: h:2\r\n",
		},
		{
			name: "sse", o: Options{Name: "sse", URL: "http://h:1/live/{channel}"},
			open: "GET /live/a%3A1 HTTP/1.1\r\nHost: h:1\r\nAccept: text/event-stream\r\nAuthorization: Bearer tok\r\n", greet: []string{""},
			one: "POST /live/a%3A1 HTTP/1.1\r\nHost: h:1\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n" + `{"d":"one"}`,
		},
		{
			name: "ws", o: Options{Name: "ws", URL: "ws://h:1/all"},
			open: "GET /all HTTP/1.1\r\n", greet: []string{""}, reads: map[string]string{"{\"d\":1}\n{\"d\":2}": `0/0//{"d":1}/false 0/0//{"d":2}/false`},
			one: "\x81\x8b\x00\x00\x00\x00" + `{"d":"one"}`, many: "\x81\x81\x00\x00\x00\x002",
		},
		{
			name: "weir over events", o: Options{Name: "weir", URL: "https://h", Transport: "sse"},
			open: "GET /sse?channel=a%3A1&channel=b&short=1 HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer tok\r\nLast-Event-ID: c7\r\n", greet: []string{""},
			one: "Authorization: Bearer dev\r\n",
		},
		{
			name: "weir whole", o: Options{Name: "weir", URL: "http://h", Transport: "ws-whole"},
			open: "GET /ws?channel=a%3A1&position=&channel=b&position=e:7 HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer tok\r\n",
			reads: map[string]string{
				`{"type":"batch","channel":"b","messages":[{"type":"channel_update","channel":"b","seq":4,"data":4},{"type":"channel_update","channel":"b","seq":5,"data":5}]}`: `1/4//4/false 1/5//5/false`,
			},
			one: "Authorization: Bearer dev\r\n",
		},
		{
			name: "weir whole over events", o: Options{Name: "weir", URL: "http://h", Transport: "sse-whole"},
			open: "GET /sse?channel=a%3A1&channel=b HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer tok\r\n", greet: []string{""},
			one: "Authorization: Bearer dev\r\n",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tr, _, _, err := New(tt.o)
			if err != nil {
				t.Fatal(err)
			}
			s := &Subscriber{Token: "tok", Channels: slices.Clone(two), Cursor: []byte("c7")}
			if got := string(tr.Open(s).Append(nil)); !strings.HasPrefix(got, tt.open) {
				t.Errorf("opens with %q", got)
			}
			var h heard
			for i, want := range tt.greet {
				if s.Subscribed {
					t.Errorf("subscribed before answer %d", i)
				}
				var msg []byte
				if i > 0 {
					msg = []byte(tt.says[i-1])
				}
				if got, err := tr.Greet(s, msg, &h); err != nil || string(got) != want {
					t.Errorf("answer %d is %q, %v", i, got, err)
				}
			}
			if !s.Subscribed && tt.o.Transport == "" {
				t.Error("not subscribed in the end")
			}
			for msg, want := range tt.reads {
				h = nil
				reply, err := tr.Read(s, []byte(msg), &h)
				got := strings.Join(h, " ")
				if reply != nil {
					got += " -> " + string(reply)
				}
				if err != nil || got != want {
					t.Errorf("%s\nis heard as %q, %v\nwant %q", msg, got, err, want)
				}
			}
			msgs := []Message{{Channel: "a:1", Data: []byte(`{"d":"one"}`), Group: "g", Key: "k1", TTL: 50}, {Channel: "é\"", Data: []byte("2")}}
			if got := string(tr.Publish(nil, msgs[:1])); !strings.Contains(got, tt.one) {
				t.Errorf("publishes %q", got)
			}
			if tt.many != "" {
				if got := string(tr.Publish(nil, msgs)); !strings.Contains(got, tt.many) {
					t.Errorf("publishes %q", got)
				}
			}
		})
	}
}

// TestCloseAfterEach: publishers of every kind that is published to by requests ask for the end of their connection; subscribers do not.
func TestCloseAfterEach(t *testing.T) {
	for _, o := range []Options{{Name: "weir"}, {Name: "centrifugo"}, {Name: "pusher", Key: "app:key:secret"}, {Name: "mercure"}, {Name: "sse", URL: "http://h:1/{channel}", Publish: "http://h:1/{channel}"}} {
		o.Close = true
		tr, _, _, err := New(o)
		if err != nil {
			t.Fatal(o.Name, err)
		}
		if got := string(tr.Publish(nil, []Message{{Channel: "a", Data: []byte("1")}})); !strings.Contains(got, "\r\nConnection: close\r\n") {
			t.Errorf("%s publishes %q", o.Name, got)
		}
		if got := string(tr.Open(&Subscriber{Channels: []Followed{{Name: "a"}}}).Append(nil)); strings.Contains(got, "close") {
			t.Errorf("%s opens with %q", o.Name, got)
		}
	}
}

func TestResumingKnowsWhereItStands(t *testing.T) {
	tr, _, _, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := &Subscriber{Channels: []Followed{{Name: "a"}}}
	var h heard
	for _, msg := range []string{
		`{"type":"subscribed","channel":"a","position":{"epoch":"x","seq":3},"recovered":false,"state":{}}`,
		`{"type":"channel_update","channel":"a","seq":4,"op":"send","data":1}`,
		`{"type":"batch","channel":"a","messages":[{"seq":5,"op":"send","data":1},{"seq":9,"op":"send","data":1}]}`,
	} {
		if _, err := tr.Read(s, []byte(msg), &h); err != nil {
			t.Fatal(err)
		}
	}
	if f := s.Channels[0]; f.Epoch != "x" || f.Seq != 9 || !f.Known || h[0] != "reset 0" {
		t.Errorf("%+v, %q", f, h)
	}
	if got := string(tr.Open(s).Append(nil)); !strings.HasPrefix(got, "GET /ws?channel=a&position=x:9 HTTP/1.1") {
		t.Errorf("%s", got)
	}
}

// A relay that does not read addresses is asked by commands, and one that does for what did not fit.
func TestChannelsBesideTheAddress(t *testing.T) {
	tr, _, _, err := New(Options{Name: "weir"})
	if err != nil {
		t.Fatal(err)
	}
	var h heard
	s := &Subscriber{Channels: []Followed{{Name: "a"}, {Name: strings.Repeat("b", 2048)}, {Name: "c", Epoch: "x", Seq: 9, Known: true}}}
	for connected, want := range map[string]string{
		`{"type":"connected","channels":1}`: `"id":1,"channel":"bb`,
		`{"type":"connected"}`:              `"id":0,"channel":"a"},{"type":"subscribe","id":1,"channel":"bb`,
	} {
		if got := string(tr.Open(s).Append(nil)); !strings.HasPrefix(got, "GET /ws?channel=a&position= HTTP/1.1") {
			t.Errorf("%.200s", got)
		}
		if got, err := tr.Greet(s, nil, &h); err != nil || got != nil || s.Subscribed {
			t.Errorf("%s, %v", got, err)
		}
		got, err := tr.Greet(s, []byte(connected), &h)
		if err != nil || !strings.HasPrefix(string(got), `[{"type":"subscribe",`+want) || !strings.HasSuffix(string(got), `"channel":"c","position":{"epoch":"x","seq":9}}]`) || s.Subscribed {
			t.Errorf("%.100s, %v", got, err)
		}
	}
}

func TestRefusalsEndAConnection(t *testing.T) {
	for name, msg := range map[string]string{
		"weir": `{"type":"error","id":0,"code":"forbidden","message":"no"}`, "centrifugo": `{"id":1,"error":{"code":101,"message":"unauthorized"}}`,
		"pusher": `{"event":"pusher:error","data":{"code":4001}}`,
	} {
		tr, _, _, err := New(Options{Name: name, Key: "a:b:c"})
		if err != nil {
			t.Fatal(err)
		}
		var h heard
		s := &Subscriber{Channels: []Followed{{Name: "a"}}}
		if _, err := tr.Greet(s, []byte(msg), &h); !errors.Is(err, errRefused) || s.Subscribed {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := tr.Read(s, []byte(`{"type":`), &h); !errors.Is(err, codec.ErrProtocol) {
			t.Errorf("%s: half a message: %v", name, err)
		}
	}
}

func TestRefusedMessages(t *testing.T) {
	tests := []struct {
		o      Options
		status int
		body   string
		n      int
		want   int
	}{
		{Options{Name: "weir"}, 200, `{"position":{"epoch":"e","seq":1}}`, 1, 0},
		{Options{Name: "weir"}, 200, "{\"position\":{}}\n{\"code\":\"limit\",\"line\":2}\n{\"position\":{}}\n", 3, 1},
		{Options{Name: "weir"}, 429, "", 3, 3},
		{Options{Name: "centrifugo"}, 200, `{"replies":[{"error":{}},{}]}`, 2, 1},
		{Options{Name: "centrifugo"}, 500, "", 2, 2},
		{Options{Name: "weir"}, 200, `{"accepted":2,"position":{"epoch":"e","seq":7}}` + "\n", 2, 0},
		{Options{Name: "weir"}, 200, `{"code":"overloaded","message":"m","line":1}` + "\n" + `{"accepted":2,"position":{"epoch":"e","seq":7}}` + "\n", 3, 1},
		{Options{Name: "weir"}, 200, `{"accepted":0}` + "\n", 2, 2},
		{Options{Name: "pusher", Key: "a:b:c"}, 200, "{}", 2, 0},
		{Options{Name: "pusher", Key: "a:b:c"}, 401, "", 2, 2},
		{Options{Name: "nchan"}, 202, "", 1, 0},
		{Options{Name: "sse"}, 404, "", 1, 1},
	}
	for _, tt := range tests {
		tr, _, _, err := New(tt.o)
		if err != nil {
			t.Fatal(err)
		}
		if got := tr.Refused(tt.status, []byte(tt.body), tt.n); got != tt.want {
			t.Errorf("%s %d %q: %d refused", tt.o.Name, tt.status, tt.body, got)
		}
	}
}

func TestBadOptions(t *testing.T) {
	for _, o := range []Options{
		{Name: "kafka"}, {URL: "h:1"}, {URL: "ftp://h"}, {URL: "http://u:p@h"}, {URL: "http://"}, {Publish: "x"},
		{Name: "pusher", Key: "k"}, {Name: "weir", Transport: "udp"},
	} {
		if _, _, _, err := New(o); !errors.Is(err, ErrTarget) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func TestLoopback(t *testing.T) {
	for address, want := range map[string]bool{
		"http://127.0.0.1": true, "http://127.9.9.9:5": true, "http://[::1]:80": true, "http://localhost:80": true, "http://10.0.0.1": false,
		"http://example.com": false, "http://[::ffff:8.8.8.8]": false, "http://localhost.example.com": false, "http://127.0.0.1.example.com": false,
	} {
		_, at, _, err := New(Options{URL: address})
		if err != nil || at.Loopback() != want {
			t.Errorf("%s: %v, %v", address, at.Loopback(), err)
		}
	}
	_, at, to, _ := New(Options{URL: "https://h/x?y=1", Publish: "http://[::1]"})
	if at.Addr != "h:443" || !at.TLS || at.Path != "/x?y=1" || to.Addr != "[::1]:80" || to.TLS {
		t.Errorf("%+v %+v", at, to)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(`{"type":"batch","channel":"a","messages":[{"seq":1,"op":"send","data":{"x":[1,{}]}}]}`)
	f.Add(`{"push":{"channel":"a","pub":{"data":1}}}`)
	f.Add(`{"event":"bench","channel":"a","data":"{\"\\u0041\"}"}`)
	f.Add(strings.Repeat("[", 200))
	var all []Target
	for _, name := range Names() {
		tr, _, _, err := New(Options{Name: name, Key: "a:b:c"})
		if err != nil {
			f.Fatal(err)
		}
		all = append(all, tr)
	}
	f.Fuzz(func(t *testing.T, msg string) {
		for _, tr := range all {
			var h heard
			s := &Subscriber{Channels: []Followed{{Name: "a"}}}
			_, _ = tr.Greet(s, []byte(msg), &h)
			_, _ = tr.Read(s, []byte(msg), &h)
		}
	})
}

// silent is a Sink that does nothing.
type silent struct{}

func (silent) Delivered(int, uint64, []byte, []byte, bool) {}
func (silent) Reset(int)                                   {}

func BenchmarkRead(b *testing.B) {
	tr, _, _, _ := New(Options{})
	s := &Subscriber{Channels: []Followed{{Name: "bench:0"}}}
	msg := []byte(`{"type":"batch","channel":"bench:0","messages":[`)
	for i := range 100 {
		if i > 0 {
			msg = append(msg, ',')
		}
		msg = fmt.Appendf(msg, `{"seq":%d,"op":"send","data":{"c":0,"s":1,"n":%d,"t":123456789,"x":"89abcdef%s"}}`, i, i, strings.Repeat("x", 70))
	}
	msg = append(msg, "]}"...)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tr.Read(s, msg, silent{}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*100/b.Elapsed().Seconds(), "messages/s")
}
