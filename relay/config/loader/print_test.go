package loader

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"weir/relay/config"
)

func TestPrintRoundTrip(t *testing.T) {
	text := `listen: "[::]:80"
drain: 0
origins: ["https://a.example", "app://b"]
auth:
  issuer: "a # b: 'c' \"d\" \\ é \u2028"
  audience: "true"
  keys:
    - {id: "1", algorithm: HS256, secret: ` + secret + `}
    - {algorithm: HS256, secret: ` + secret + `2}
api: {keys: [{name: a, secret: ` + secret + `}]}
limits: {commands: none, queue: 3MiB}
namespaces:
  "@a/b~=.c": {slow: resync, history: {size: 0, ttl: 1h30m}}
  "null": {batch: {window: 1500us}}
  long: {batch: {stretch: 2.5}}
  short: {batch: {stretch: false}}
  usual: {batch: {stretch: true}}
  "1e3": {limits: {rate: 7/h}}
`
	c, o, err := loadText(text, nil, map[string]string{"admin": "127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := Print(&out, c, o); err != nil {
		t.Fatal(err)
	}
	printed := out.String()
	if strings.Contains(printed, secret) {
		t.Errorf("a secret is shown:\n%s", printed)
	}
	for _, want := range []string{"# file weir.yaml:1\n", "# flag --admin\n", "# default\n", "secret: <redacted> ", "commands: none ", "stretch: 2.5 ", "stretch: false ", "stretch: true "} {
		if !strings.Contains(printed, want) {
			t.Errorf("want %q in:\n%s", want, printed)
		}
	}
	for line := range strings.SplitSeq(strings.TrimSpace(printed), "\n") {
		if !strings.HasSuffix(line, ":") && !strings.Contains(line, "  # ") {
			t.Errorf("no source: %s", line)
		}
	}
	restored := printed
	for _, s := range []string{secret, secret + "2", secret} {
		restored = strings.Replace(restored, config.Redacted, s, 1)
	}
	again, _, err := loadText(restored, nil, nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, restored)
	}
	c.Known, again.Known = nil, nil // functions do not compare
	if !reflect.DeepEqual(c, again) {
		t.Errorf("want %+v\ngot  %+v\n%s", c, again, restored)
	}
	if _, _, err := loadText(printed, nil, nil); err == nil {
		t.Error("redacted secrets were taken for secrets")
	}
}

func TestYAMLText(t *testing.T) {
	for s, bare := range map[string]bool{
		"info": true, "127.0.0.1:8080": true, "https://a.example": true, "50ms": true, "a-b": true,
		"": false, "true": false, "null": false, "~": false, "1": false, "0x1": false, ".5": false, "a:": false, "a b": false,
		"@a": false, "-": false, "a#b": false, "[a": false, "é": false, "<<": false, "=": true, ".inf": false,
	} {
		if got := yamlText(s) == s; got != bare {
			t.Errorf("%q: got %s", s, yamlText(s))
		}
	}
}

// FuzzLoad wants no panic, no secret in an error, and of what loads that it prints and loads again.
func FuzzLoad(f *testing.F) {
	for _, s := range []string{"", keys, "listen: :1\n", "a: [", "namespaces: {a: {slow: resync}}", "origins: [https://a]", "auth: {issuer: \"\\u00e9\"}", "limits: {queue: 5MiB, pings: none}", "- - -", "a: |\n b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, o, err := loadText(text, nil, map[string]string{"dev": "true"})
		if err != nil {
			if strings.ContainsAny(err.Error(), "\x00\r\x1b\u0085") {
				t.Errorf("control characters in %q", err)
			}
			return
		}
		for i := range c.Auth.Keys {
			c.Auth.Keys[i].Secret = ""
			c.Auth.Keys[i].File = "main_test.go"
		}
		for i := range c.API.Keys {
			c.API.Keys[i].Secret = ""
			c.API.Keys[i].File = "main_test.go"
		}
		var out bytes.Buffer
		if err := Print(&out, c, o); err != nil {
			t.Fatal(err)
		}
		l := newLoader(systems())
		l.Config.Dev = true
		l.readYAML("printed", out.Bytes())
		if len(l.problems) > 0 {
			t.Fatalf("%v\n%s", l.problems, out.String())
		}
		l.finish()
		var second bytes.Buffer
		if err := Print(&second, l.Config, nil); err != nil {
			t.Fatal(err)
		}
		if got, want := bare(second.String()), bare(out.String()); got != want {
			t.Errorf("want\n%s\ngot\n%s", want, got)
		}
	})
}

// bare is what Print wrote, without the comments.
func bare(s string) string {
	var b strings.Builder
	for line := range strings.SplitSeq(s, "\n") {
		if i := strings.LastIndex(line, "  # "); i >= 0 {
			line = line[:i]
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}

// Names and passwords within addresses are not shown, by what is printed or by what says that an address is wrong.
func TestPrintAddresses(t *testing.T) {
	for _, server := range []string{"nats://ann:hidden@127.0.0.1:4222", "nats://hidden@127.0.0.1", "tls://ann:hid@den@n1:4222", "tls://n1:4222/?x=a@b"} {
		c, o, err := loadText("auth: {keys: [{algorithm: HS256, secret: "+secret+"}]}\napi: {keys: [{name: a, secret: "+secret+"}]}\ncluster: {node: a, nats: ['"+server+"']}\n", nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := Print(&out, c, o); err != nil {
			t.Fatal(err)
		}
		for _, part := range []string{"ann", "hid", "den@"} {
			if strings.Contains(out.String(), part) {
				t.Errorf("%s is printed with %s", server, part)
			}
		}
	}
	for _, server := range []string{"http://ann:hidden@n1", "nats://ann:hidden@n1:4222", "nats://ann:hidden@:bad"} {
		if _, _, err := loadText("cluster: {node: a, nats: ['"+server+"']}\n", nil, nil); err == nil || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: %v", server, err)
		}
	}
}
