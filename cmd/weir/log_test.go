package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"unicode"

	"weir/relay/auth"
	"weir/relay/config"
)

func logLine(t *testing.T, format string, log func(*slog.Logger)) string {
	t.Helper()
	var out bytes.Buffer
	logger, err := newLogger(&out, config.Log{Level: "info", Format: format}, new(slog.LevelVar))
	if err != nil {
		t.Fatal(err)
	}
	log(logger)
	return out.String()
}

type canaryStringer struct{ text string }

func (c *canaryStringer) String() string { return c.text }

// TestLogHidesSecrets logs a canary in every way that could carry one.
func TestLogHidesSecrets(t *testing.T) {
	const canary = "canary0123456789"
	jwt, err := auth.Mint(auth.DevSecret, "", auth.Claims{Sub: canary, TTL: 1e9})
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(jwt, ".")
	for _, attr := range []slog.Attr{
		slog.String("token", canary), slog.String("Authorization", canary), slog.String("secret", canary), slog.String("Set-Cookie", canary),
		slog.String("ticket", canary), slog.String("access_token", canary), slog.Any("token", []byte(canary)),
		slog.Group("cookie", slog.String("value", canary)), slog.Group("request", slog.String("api.secret", canary)),
		slog.String("path", "/ws?ticket="+canary+"&x=1"), slog.String("query", "a=1&Token="+canary),
		slog.String("header", "Bearer "+canary), slog.Any("error", fmt.Errorf("bad header %q", "bearer "+canary)),
		slog.Any("headers", http.Header{"Authorization": {"Bearer " + canary}}),
		slog.Any("stringer", &canaryStringer{"token=" + canary}), slog.Any("claims", struct{ Raw string }{"secret=" + canary}),
		slog.String("message", "got "+jwt), slog.String("subprotocol", "weir, token."+jwt), slog.String("long", strings.Repeat("x", 4*longest-20)+" "+jwt),
	} {
		for _, format := range []string{"json", "text"} {
			line := logLine(t, format, func(l *slog.Logger) {
				l.LogAttrs(t.Context(), slog.LevelInfo, "test", attr)
				l.With(attr).WithGroup("group").Info("test", "a", 1)
				l.Info("in the message: " + jwt)
			})
			if strings.Contains(line, canary) || strings.Contains(line, parts[1]) || strings.Contains(line, parts[2]) {
				t.Errorf("%s: the secret of %q is shown: %s", format, attr.Key, line)
			}
		}
	}
}

func TestLogKeepsTheRest(t *testing.T) {
	line := logLine(t, "json", func(l *slog.Logger) {
		l.Info("hello", "tokens", 3, "level", "high", "error", errors.New("listen: it broke"), "nil", (*canaryStringer)(nil), "user", "Zoë")
	})
	var got map[string]any
	if err := json.Unmarshal([]byte(line), &got); err != nil {
		t.Fatal(err)
	}
	if got["msg"] != "hello" || got["tokens"] != 3.0 || got["error"] != "listen: it broke" || got["nil"] != "<nil>" || got["user"] != "Zoë" {
		t.Errorf("got %s", line)
	}
	if !strings.Contains(line, `"level":"INFO"`) {
		t.Errorf("the level is lost: %s", line)
	}
}

// TestLogStaysOneLine: what a peer sends can neither forge a line, move the cursor nor fill the disk.
func TestLogStaysOneLine(t *testing.T) {
	for _, hostile := range []string{
		"a\r\nlevel=ERROR msg=forged", "\x1b[2J\x1b[31mred", "\u009b31m", "bad \xff\xfe utf-8", "\u2028\u2029", "\u202eright to left", "\x00", strings.Repeat("é", 100000), "\x7f\b",
	} {
		for _, format := range []string{"json", "text"} {
			line := logLine(t, format, func(l *slog.Logger) { l.Info(hostile, "value", hostile, "error", errors.New(hostile)) })
			body, ok := strings.CutSuffix(line, "\n")
			if !ok || len(line) > 5*longest {
				t.Errorf("%s: %q gave %d bytes: %.100q", format, hostile[:min(len(hostile), 20)], len(line), line)
			}
			if i := strings.IndexFunc(body, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }); i >= 0 {
				t.Errorf("%s: a control character at %d of %q", format, i, body)
			}
		}
	}
}

func TestLogLevel(t *testing.T) {
	var out bytes.Buffer
	level := new(slog.LevelVar)
	l, err := newLogger(&out, config.Log{Level: "warn", Format: "text"}, level)
	if err != nil {
		t.Fatal(err)
	}
	l.Info("too low")
	if err := setLevel(level, "debug"); err != nil {
		t.Fatal(err)
	}
	l.Debug("now")
	if strings.Contains(out.String(), "too low") || !strings.Contains(out.String(), "msg=now") {
		t.Errorf("got %s", out.String())
	}
	if _, err := newLogger(&out, config.Log{Level: "loud"}, level); err == nil {
		t.Error("a level that does not exist is taken")
	}
}

func FuzzClean(f *testing.F) {
	f.Add("hello")
	f.Add("Bearer a\x1b[0m eyJhbGciOiJI.eyJ.x")
	f.Fuzz(func(t *testing.T, s string) {
		got := clean(s)
		if len(got) > longest+3 || strings.ContainsFunc(got, unfit) {
			t.Errorf("%q became %q", s, got)
		}
	})
}
