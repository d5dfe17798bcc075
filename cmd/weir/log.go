package main

import (
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"weir/relay/config"
)

// longest is how much of one value a log line shows, in bytes.
const longest = 1024

const hidden = "[redacted]"

// newLogger writes to w as the configuration says. Its level can be changed while it is in use.
//
// Whatever is logged, no secret is meant to get through: attributes that are called token, secret and the
// like are replaced, and so is what looks like a credential inside any other text. Control characters
// are escaped and long values cut, so that a peer cannot forge lines or flood the disk.
func newLogger(w io.Writer, cfg config.Log, level *slog.LevelVar) (*slog.Logger, error) {
	if err := setLevel(level, cfg.Level); err != nil {
		return nil, err
	}
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: cleanAttr}
	if cfg.Format == "text" {
		return slog.New(slog.NewTextHandler(w, options)), nil
	}
	return slog.New(slog.NewJSONHandler(w, options)), nil
}

func setLevel(level *slog.LevelVar, name string) error {
	if err := level.UnmarshalText([]byte(name)); err != nil {
		return fmt.Errorf("log level %q: expected debug, info, warn or error", name)
	}
	return nil
}

// cleanAttr is the ReplaceAttr of the log.
func cleanAttr(groups []string, a slog.Attr) slog.Attr {
	switch a.Value.Kind() {
	case slog.KindString, slog.KindAny:
		if _, level := a.Value.Any().(slog.Level); level {
			return a
		}
		for _, name := range groups {
			if isSensitive(name) {
				return slog.String(a.Key, hidden)
			}
		}
		if isSensitive(a.Key) {
			return slog.String(a.Key, hidden)
		}
		return slog.String(a.Key, clean(text(a.Value)))
	}
	return a // numbers, times and the like hold no text
}

// isSensitive goes by the last word of a name: access_token, Set-Cookie, api.secret.
func isSensitive(name string) bool {
	if i := strings.LastIndexAny(name, "._- "); i >= 0 {
		name = name[i+1:]
	}
	switch strings.ToLower(name) {
	case "token", "authorization", "secret", "cookie", "ticket", "password":
		return true
	}
	return false
}

// text is how a value reads. Values of types that were never meant for a log are spelled out, so that
// clean sees what is in them.
func text(v slog.Value) string {
	switch x := v.Any().(type) {
	case string:
		return x
	case []byte:
		return string(x)
	case error, fmt.Stringer:
		return fmt.Sprint(x) // survives a nil pointer
	default:
		return fmt.Sprintf("%+v", x)
	}
}

// credentials are what secrets look like in a text: a JWT, a bearer header, a query parameter or the like.
var credentials = regexp.MustCompile(`\beyJ[\w-]{8,}(?:\.[\w-]*){0,2}|(?i:\bbearer\s+)[^\s"',;]+|(?i:\b(?:access_)?(?:token|ticket|secret|password)=)[^\s&"',;]+`)

// clean makes a text fit for a log.
func clean(s string) string {
	if len(s) > 4*longest { // bounds the work; what is left is cut again below
		s = s[:4*longest] + "..."
	}
	s = credentials.ReplaceAllString(s, hidden)
	if strings.ContainsFunc(s, unfit) || !utf8.ValidString(s) {
		s = escape(s)
	}
	if len(s) <= longest {
		return s
	}
	cut := longest
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "..."
}

// unfit are characters that move the cursor, hide text or break a line.
func unfit(r rune) bool { return !unicode.IsPrint(r) }

func escape(s string) string {
	var b strings.Builder
	for _, r := range s {
		if unfit(r) || r == utf8.RuneError {
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}
