package loader

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What an editor on Windows leaves in the files of secrets and in variables is no part of them, and is said.
func TestFilesFromWindows(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	secret := strings.Repeat("s", 40)
	odd := file("odd", "\ufeff"+secret+"\r\n")
	plain := file("plain", strings.Repeat("k", 40)+"\n")
	config := file("weir.yaml", "\ufeffauth:\r\n  keys:\r\n    - {algorithm: HS256, file: '"+odd+"'}\r\napi:\r\n  keys:\r\n    - {name: a, file: '"+plain+"'}\r\n")
	loaded, err := Load(Source{Systems: systems(), File: config, Env: []string{"WEIR_API_KEY=" + strings.Repeat("e", 32) + "\r\n", "WEIR_LOG_LEVEL=warn\r"}})
	if err != nil {
		t.Fatal(err)
	}
	cfg := loaded.Config
	if cfg.Log.Level != "warn" || cfg.API.Keys[1].Secret != strings.Repeat("e", 32) {
		t.Errorf("%q, %q", cfg.Log.Level, cfg.API.Keys[1].Secret)
	}
	notes := loaded.Notes
	if len(notes) != 1 || !strings.Contains(notes[0], "auth.keys[0].file") || !strings.Contains(notes[0], "a byte order mark at the beginning and a carriage return at the end") {
		t.Errorf("%q", notes)
	}
	wide := file("wide", "\xff\xfes\x00e\x00c\x00r\x00")
	_, err = Load(Source{Systems: systems(), File: file("wide.yaml", "auth:\n  keys:\n    - {algorithm: HS256, file: '"+wide+"'}\napi:\n  keys:\n    - {name: a, file: '"+plain+"'}\n")})
	if err == nil || !strings.Contains(err.Error(), "UTF-16") {
		t.Error(err)
	}
}
