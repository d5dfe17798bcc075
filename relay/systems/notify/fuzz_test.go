package notify

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"weir/relay/jsonbody"
	"weir/relay/systems/internal/encode"
)

// FuzzRegistration: whatever is registered, it is refused with a field's name, or is a device that can be kept and
// reached.
func FuzzRegistration(f *testing.F) {
	f.Add([]byte(`{"kind":"webhook","url":"https://example.com/x"}`), false)
	f.Add([]byte(`{"kind":"webhook","url":"http://127.0.0.1:9/x"}`), true)
	f.Add([]byte(`{"kind":"webpush","endpoint":"https://p.example/x","keys":{"p256dh":"BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4","auth":"BTBZMqHH6r4Tts7J_aSIgg"}}`), false)
	f.Add([]byte(`{"kind":"fcm","token":"x"}`), false)
	f.Add([]byte(`{"kind":"apns","token":"0123456789abcdef0123456789abcdef"}`), false)
	f.Fuzz(func(t *testing.T, body []byte, loopback bool) {
		var r registration
		if jsonbody.Decode(body, &r) != nil {
			return
		}
		d, err := r.device([]string{kindAPNs, kindFCM, kindWebhook, kindWebPush}, loopback)
		if err != nil {
			if strings.HasPrefix(err.Error(), "internal") {
				t.Error(err)
			}
			return
		}
		var again device
		if err := json.Unmarshal(encode.Line(d), &again); err != nil {
			t.Fatal(err)
		}
		again.id = d.id
		if again != *d {
			t.Errorf("%+v is kept as %+v", d, again)
		}
		if d.URL != "" {
			u, err := url.Parse(d.URL)
			if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && !loopback {
				t.Errorf("%q: %v", d.URL, err)
			}
		}
		if strings.ContainsAny(d.Token, "/?#\r\n ") && d.Kind == kindAPNs {
			t.Errorf("token %q", d.Token)
		}
	})
}

// FuzzFit: whatever a notification holds, each push of it is valid, fits, and holds as much as fits.
func FuzzFit(f *testing.F) {
	f.Add("Hello", "world", `{"k":1}`)
	f.Add(strings.Repeat("\x00", 256), strings.Repeat("<", 4096), `"x"`)
	f.Add("t", strings.Repeat("😀", 4096), "")
	f.Add("t", strings.Repeat("\u2028", 2000), "null")
	f.Fuzz(func(t *testing.T, title, body, data string) {
		r := &request{UserID: "u1", Title: title, Body: body}
		if data != "" {
			if !json.Valid([]byte(data)) {
				return
			}
			r.Data = json.RawMessage(data)
		}
		if !utf8.ValidString(title) || !utf8.ValidString(body) || r.check() != nil {
			return // the relay lets no such text pass
		}
		n := r.notification(time.Now())
		d := &device{Token: "t"}
		for _, one := range []func(*payload) []byte{
			func(p *payload) []byte { return encode.Line(p) }, encodeAPNs, func(p *payload) []byte { return new(fcm).encode(d, p) },
		} {
			const most = 3000
			b := n.fit(most, one)
			if len(b) > most || !json.Valid(b) {
				t.Fatalf("%d bytes: %s", len(b), b)
			}
			if whole := one(n.payload()); len(whole) <= most && string(whole) != string(b) {
				t.Errorf("%s is not the whole", b)
			}
		}
	})
}
