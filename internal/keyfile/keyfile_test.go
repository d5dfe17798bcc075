package keyfile

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRead(t *testing.T) {
	for _, x := range []struct{ file, want, left string }{
		{"secret", "secret", ""},
		{"secret\n", "secret", ""},
		{"secret\r\n", "secret", "a carriage return at the end"},
		{"secret\n\n", "secret", "more than one line feed at the end"},
		{"\ufeffsecret", "secret", "a byte order mark at the beginning"},
		{"\ufeffsecret\r\n\r\n", "secret", "a byte order mark at the beginning and a carriage return at the end"},
		{" secret \t\n", " secret \t", ""}, // white space may be part of a secret
		{"two\r\nlines", "two\r\nlines", ""},
		{"\xff\xfe\x01\x02", "\xff\xfe\x01\x02", ""}, // random bytes
		{"", "", ""},
		{"\n", "", ""},
	} {
		name := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(name, []byte(x.file), 0o600); err != nil {
			t.Fatal(err)
		}
		data, left, err := Read(name, 1000)
		if string(data) != x.want || left != x.left || err != nil {
			t.Errorf("%q: %q, left out %q, %v", x.file, data, left, err)
		}
	}
	name := filepath.Join(t.TempDir(), "key")
	for text, want := range map[string]string{"\xff\xfes\x00e\x00c\x00": errUTF16.Error(), "\xfe\xff\x00s\x00e": errUTF16.Error(), strings.Repeat("k", 1001): "more than 1000 bytes"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := Read(name, 1000); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, _, err := Read(t.TempDir(), 1000); err == nil || !strings.HasSuffix(err.Error(), ": not a regular file") {
		t.Error(err)
	}
	if _, _, err := Read(name+"x", 1000); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}
