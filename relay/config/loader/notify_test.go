package loader

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPushServices: what belongs to a key is checked with the key, and a whole configuration is taken.
func TestPushServices(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	inPEM := func(key any) []byte {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	large, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	account := func(change func(m map[string]string)) []byte {
		m := map[string]string{"project_id": "p", "client_email": "a@p.example", "private_key": string(inPEM(rsaKey)), "token_uri": "https://oauth2.example/token"}
		change(m)
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	p8 := write("AuthKey.p8", inPEM(ec))
	config := "systems: [notify]\nnotify:\n" +
		"  webpush: {file: VAPID, subject: \"mailto:ops@example.com\"}\n" +
		"  fcm: {file: FCM}\n" +
		"  apns: {file: P8, key_id: ABC123DEFG, team_id: DEF123GHIJ, topic: com.example.app}\n"
	files := strings.NewReplacer("VAPID", write("vapid", []byte("rfGRDOZSHfvAAWOqbP1-5OKzNhNvlxxdeSSSZUW_BlI\n")), "FCM", write("fcm.json", account(func(map[string]string) {})), "P8", p8)
	for _, tt := range []struct{ name, old, new, want string }{
		{"all is well", "", "", ""},
		{"key id", "ABC123DEFG", "abc", `weir.yaml:5: notify.apns.key_id: "abc" is not an id of Apple's`},
		{"team id", "DEF123GHIJ", `""`, `weir.yaml:5: notify.apns.team_id: "" is not an id of Apple's`},
		{"topic", "com.example.app", "a b", `weir.yaml:5: notify.apns.topic: "a b" is not a bundle id`},
		{"another curve", "P8", write("P384.p8", inPEM(large)), "weir.yaml:5: notify.apns.file: "},
		{"another key", "P8", write("RSA.p8", inPEM(rsaKey)), "weir.yaml:5: notify.apns.file: "},
		{"no project", "FCM", write("a.json", account(func(m map[string]string) { delete(m, "project_id") })), "weir.yaml:4: notify.fcm.file: "},
		{"project with a path", "FCM", write("b.json", account(func(m map[string]string) { m["project_id"] = "../x" })), "weir.yaml:4: notify.fcm.file: "},
		{"no address", "FCM", write("c.json", account(func(m map[string]string) { m["token_uri"] = "x" })), "weir.yaml:4: notify.fcm.file: "},
		{"no key", "FCM", write("d.json", account(func(m map[string]string) { m["private_key"] = "hunter2" })), "weir.yaml:4: notify.fcm.file: "},
	} {
		text := config
		if tt.old != "" {
			text = strings.Replace(text, tt.old, tt.new, 1)
		}
		_, _, err := loadText(files.Replace(text), keysEnv, nil)
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", tt.name, err)
		case tt.want != "" && (err == nil || !strings.HasPrefix(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "\n")):
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
	}
}
