package protocol

import (
	"bytes"
	"encoding/hex"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"weir/internal/wire"
)

// The published vectors of the protocol.
const (
	vectorKey    = "278d425bdf160c739803"
	vectorSecret = "7ad3773142a6692b25b8"
)

func vectorSigners() map[string]*Signer {
	return map[string]*Signer{vectorKey: NewSigner(vectorKey, vectorSecret)}
}

func TestVectors(t *testing.T) {
	s := NewSigner(vectorKey, vectorSecret)
	for want, parts := range map[string][]string{
		"58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4": {"1234.1234", ":", "private-foobar"},
		"4708d583dada6a56435fb8bc611c77c359a31eebde13337c16ab43aa6de336ba": {"1234.1234", "::user::", `{"id":"12345"}`},
		"31935e7d86dba64c2a90aed31fdc61869f9b22ba9d8863bba239c03ca481bc80": {"1234.1234", ":", "presence-foobar", ":", `{"user_id":10,"user_info":{"name":"Mr. Channels"}}`},
	} {
		if got := s.HexSign(parts...); got != want {
			t.Errorf("%v: %s", parts, got)
		}
		if !s.Verify(want, parts...) || s.Verify(strings.ToUpper(want), parts...) || s.Verify(want[1:]+"0", parts...) || s.Verify(want+"00", parts...) || s.Verify("", parts...) {
			t.Errorf("%v: what is verified is not that signature alone", parts)
		}
	}
}

func TestVerifyRequest(t *testing.T) {
	const body = `{"name":"foo","channels":["project-3"],"data":"{\"some\":\"data\"}"}`
	const query = "auth_key=278d425bdf160c739803&auth_timestamp=1353088179&auth_version=1.0&body_md5=ec365a775a4cd0599faeb73354201b6f"
	const signature = "&auth_signature=da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c"
	a, now := vectorSigners(), time.Unix(1353088179, 0)
	for _, c := range []struct {
		name, method, path, query, body string
		skew                            time.Duration
		want                            error
	}{
		{"the vector", "POST", "/apps/3/events", query + signature, body, 0, nil},
		{"in another order", "POST", "/apps/3/events", signature[1:] + "&" + query, body, 0, nil},
		{"a little late", "POST", "/apps/3/events", query + signature, body, 600 * time.Second, nil},
		{"too late", "POST", "/apps/3/events", query + signature, body, 601 * time.Second, errTimestamp},
		{"too early", "POST", "/apps/3/events", query + signature, body, -601 * time.Second, errTimestamp},
		{"another body", "POST", "/apps/3/events", query + signature, body + " ", 0, errBody},
		{"another method", "GET", "/apps/3/events", query + signature, body, 0, errSignature},
		{"another path", "POST", "/apps/4/events", query + signature, body, 0, errSignature},
		{"a further parameter", "POST", "/apps/3/events", query + "&info=x" + signature, body, 0, errSignature},
		{"no body_md5", "POST", "/apps/3/events", strings.Replace(query, "&body_md5=ec365a775a4cd0599faeb73354201b6f", "", 1) + signature, body, 0, errBody},
		{"another key", "POST", "/apps/3/events", strings.Replace(query, "278d", "278e", 1) + signature, body, 0, errNoKey},
		{"another version", "POST", "/apps/3/events", strings.Replace(query, "1.0", "2.0", 1) + signature, body, 0, errVersion},
		{"no signature", "POST", "/apps/3/events", query, body, 0, errSignature},
	} {
		p, err := ParseQuery(nil, c.query)
		if err != nil {
			t.Fatal(c.name, err)
		}
		if err := p.VerifyRequest(a, c.method, c.path, []byte(c.body), now.Add(c.skew)); err != c.want {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestEscapedPath takes a signature over the path as it came, and over the path before an HTTP library escaped it, which is what the
// Node.js, PHP and Python SDKs sign.
func TestEscapedPath(t *testing.T) {
	a, now := vectorSigners(), time.Unix(1353088179, 0)
	s := NewSigner(vectorKey, vectorSecret)
	const query = "auth_key=278d425bdf160c739803&auth_timestamp=1353088179&auth_version=1.0"
	for path, want := range map[string]error{
		"/apps/3/users/a%20b/x": nil, "/apps/3/users/a b/x": nil, "/apps/3/users/a%2520b/x": errSignature, "/apps/3/users/a+b/x": errSignature,
	} {
		p, err := ParseQuery(nil, query+"&auth_signature="+s.HexSign("GET\n"+path+"\n"+query))
		if err != nil {
			t.Fatal(err)
		}
		if err := p.VerifyRequest(a, "GET", "/apps/3/users/a%20b/x", nil, now); err != want {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestSignedQuery signs what SDKs sign: the values as they are meant, lists joined by commas, names in lower case.
func TestSignedQuery(t *testing.T) {
	for raw, want := range map[string]string{
		"b=2&A=1":                                                    "a=1&b=2",
		"info=user_count%2Csubscription_count":                       "info=user_count,subscription_count",
		"info=user_count,subscription_count":                         "info=user_count,subscription_count",
		"channels[]=a&channels[]=b":                                  "channels=a,b",
		"channels%5B0%5D=a&channels%5B1%5D=b":                        "channels=a,b",
		"filter_by_prefix=presence-&auth_signature=00&x=":            "filter_by_prefix=presence-&x=",
		"body_md5=d41d8cd98f00b204e9800998ecf8427e&auth_signature=1": "body_md5=d41d8cd98f00b204e9800998ecf8427e",
	} {
		p, err := ParseQuery(nil, raw)
		if err != nil || signedQuery(p) != want {
			t.Errorf("%s: %s %v", raw, signedQuery(p), err)
		}
	}
	for _, raw := range []string{"a=1&a=2", "a=%zz", "%zz=1"} {
		if _, err := ParseQuery(nil, raw); err == nil {
			t.Errorf("%s is read", raw)
		}
	}
	a := vectorSigners() // one SDK sends the MD5 of an empty body with each GET
	p, _ := ParseQuery(nil, "auth_key="+vectorKey+"&auth_timestamp=1353088179&auth_version=1.0&body_md5=d41d8cd98f00b204e9800998ecf8427e")
	p = append(p, parameter{"auth_signature", a[vectorKey].HexSign("GET\n/apps/3/channels\n" + signedQuery(p))})
	if err := p.VerifyRequest(a, "GET", "/apps/3/channels", nil, time.Unix(1353088179, 0)); err != nil {
		t.Error(err)
	}
}

// FuzzVerifyRequest changes a request that is signed: what is let through says what was signed.
func FuzzVerifyRequest(f *testing.F) {
	f.Add("POST", "/apps/3/events", "auth_key="+vectorKey+"&auth_timestamp=100&auth_version=1.0", []byte(`{}`))
	f.Add("GET", "/apps/3/channels", "info=a%2Cb&auth_key="+vectorKey, []byte(nil))
	f.Add("GET", "/", "a[]=1&a[]=2&%41=3", []byte("x"))
	f.Fuzz(func(t *testing.T, method, path, raw string, body []byte) {
		a := vectorSigners()
		p, err := ParseQuery(nil, raw)
		if err != nil {
			return
		}
		now := time.Unix(100, 0)
		err = p.VerifyRequest(a, method, path, body, now)
		of := func(path string) string {
			return a[vectorKey].HexSign(method + "\n" + path + "\n" + signedQuery(p))
		}
		plain, _ := url.PathUnescape(path)
		want := of(path)
		if got := p.Get("auth_signature"); err == nil && (got != want && got != of(plain) || p.Get("auth_key") != vectorKey) {
			t.Fatalf("%q is let through", raw)
		}
		if at := p.index("auth_signature"); at >= 0 {
			p[at].value = want
		} else {
			p = append(p, parameter{"auth_signature", want})
		}
		if err := p.VerifyRequest(a, method, path, body, now); err != nil && err == errSignature {
			t.Fatal(err)
		}
	})
}

// FuzzMessages hands what clients and backends send to their readers: no panic, and names that come back as they were.
func FuzzMessages(f *testing.F) {
	f.Add("presence-room.42", "user 7;~", []byte(`{"event":"e","data":{"a":1}}`))
	f.Add("private-a,b;c", "12", []byte(`{"user_id":1,"user_info":null}`))
	f.Add("cache-", "~~", []byte(`{"name":"n","channels":["a"],"data":1}`))
	f.Fuzz(func(t *testing.T, channel, user string, data []byte) {
		name := ChannelOf("pusher", channel)
		if channel != "" && !wire.ValidChannel(name) {
			t.Fatalf("%q is no name", name)
		}
		if back, ok := Unescape(strings.TrimPrefix(name, "pusher:")); ok && back != channel {
			t.Fatalf("%q became %q", channel, back)
		}
		key := MemberKey(user, isNumeric(user))
		if user != "" && !wire.ValidName(key) {
			t.Fatalf("%q is no key", key)
		}
		if utf8.ValidString(user) && user != "" {
			if id := IDOfKey(key); id != nil {
				if text, isNumber, ok := IDText(id); !ok || text != user || isNumber != isNumeric(user) {
					t.Fatalf("%q became %s", user, id)
				}
			}
			if id := IDOfKey(MemberKey(user, false)); id != nil && id[0] != '"' {
				t.Fatalf("the string %q became %s", user, id)
			}
		}
		if wire.ValidJSON(data) == nil {
			if out := AppendEvent(nil, channel, wire.OneLine(data)); wire.ValidJSON(out) != nil && utf8.ValidString(channel) {
				t.Fatalf("%s became %s", data, out)
			}
		}
		ParseMember(data)
		ParseState(data)
		_, _, _ = ParseSignIn(string(data))
	})
}

func TestNames(t *testing.T) {
	long := "presence-" + strings.Repeat(",", 150)
	for name, want := range map[string]string{
		"room.42":            "pusher:room.42",
		"private-a=b@c_d-e":  "pusher:private-a=b@c_d-e",
		"a,b;c":              "pusher:a~2Cb~3Bc",
		"#server-to-user-7":  "pusher:~23server-to-user-7",
		"#server-to-user-é~": "pusher:~23server-to-user-~C3~A9~7E",
	} {
		if got := ChannelOf("pusher", name); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
	if got := ChannelOf("pusher", long); !strings.HasPrefix(got, "pusher:presence-~~") || len(got) != len("pusher:presence-~~")+hex.EncodedLen(32) {
		t.Error(got)
	}
	for name, want := range map[string]bool{"a": true, "": false, strings.Repeat("a", 200): true, strings.Repeat("a", 201): false, "a b": false, "a/b": false, "a:b": false, "#x": false, "#server-to-user-": false, "#server-to-user-a b": true} {
		if ValidChannel(name) != want {
			t.Errorf("%q: %v", name, !want)
		}
	}
	for name, want := range map[string]Kind{
		"private-encrypted-cache-x": {Private: true, Encrypted: true, Cache: true},
		"private-encrypted-x":       {Private: true, Encrypted: true},
		"private-cache-x":           {Private: true, Cache: true},
		"presence-cache-x":          {Presence: true, Cache: true},
		"cache-x":                   {Cache: true},
		"privatex":                  {},
	} {
		got := KindOf(name)
		got.prefix = ""
		if got != want {
			t.Errorf("%s: %+v", name, got)
		}
	}
	for _, c := range []struct {
		id       string
		isNumber bool
		key      string
	}{{"7", true, "7"}, {"7", false, "~s7"}, {"ann", false, "ann"}, {"a b", false, "a~20b"}, {"-1.5e+3", true, "-1.5e~2B3"}, {"007", false, "007"}} {
		if got := MemberKey(c.id, c.isNumber); got != c.key {
			t.Errorf("%s: %s", c.id, got)
		}
		want := []byte(c.id)
		if !c.isNumber {
			want = wire.AppendString(nil, c.id)
		}
		if got := IDOfKey(c.key); !bytes.Equal(got, want) {
			t.Errorf("%s: %s", c.key, got)
		}
	}
}

func TestEvents(t *testing.T) {
	for data, want := range map[string]string{
		`{"event":"e","data":"{\"a\":1}"}`:                `{"event":"e","channel":"c","data":"{\"a\":1}"}`,
		`{"event":"e","data":{"a":1}}`:                    `{"event":"e","channel":"c","data":"{\"a\":1}"}`,
		`{"event":"e","data":"x","at":17}`:                `{"event":"e","channel":"c","data":"x"}`,
		`{"event":"client-e","data":{"a":1},"user_id":7}`: `{"event":"client-e","channel":"c","data":{"a":1},"user_id":7}`,
		`{"event":"e","data":"x","user_id":7}`:            `{"event":"message","channel":"c","data":"{\"event\":\"e\",\"data\":\"x\",\"user_id\":7}"}`,
		`{"event":"e","data":"x","more":1}`:               `{"event":"message","channel":"c","data":"{\"event\":\"e\",\"data\":\"x\",\"more\":1}"}`,
		`{"event":"e"}`:                                   `{"event":"message","channel":"c","data":"{\"event\":\"e\"}"}`,
		`{"event":"","data":1}`:                           `{"event":"message","channel":"c","data":"{\"event\":\"\",\"data\":1}"}`,
		`{"event":5,"data":1}`:                            `{"event":"message","channel":"c","data":"{\"event\":5,\"data\":1}"}`,
		`"text"`:                                          `{"event":"message","channel":"c","data":"\"text\""}`,
		`[1]`:                                             `{"event":"message","channel":"c","data":"[1]"}`,
		``:                                                `{"event":"message","channel":"c","data":"null"}`,
	} {
		if got := string(AppendEvent(nil, "c", []byte(data))); got != want {
			t.Errorf("%s: %s", data, got)
		}
	}
}
