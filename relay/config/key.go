package config

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Join adds a name to a key path. Names that hold a dot or the like are quoted, so that two different
// paths never read the same.
func Join(path, name string) string {
	if !IsPlain(name) {
		name = Quote(name)
	}
	if path == "" {
		return name
	}
	return path + "." + name
}

// IsPlain reports whether a name can stand in a message as it is.
func IsPlain(name string) bool {
	for _, r := range name {
		if r != '_' && r != '-' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') {
			return false
		}
	}
	return name != "" && len(name) <= maxShown
}

// Element is the key path of a list's i-th element.
func Element(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// maxShown bounds what a message quotes of a value.
const maxShown = 80

// Quote quotes a value for a message: escaped and capped, so that a file cannot forge lines of a log.
func Quote(s string) string {
	if len(s) <= maxShown {
		return strconv.QuoteToASCII(s)
	}
	cut := maxShown
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return strconv.QuoteToASCII(s[:cut]) + "..."
}

// FormatDuration is Duration.String without the parts that are 0: 10m, not 10m0s. The shortest
// time there is stands for none: see package loader.
func FormatDuration(d time.Duration) string {
	if d == time.Nanosecond {
		return "0s"
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
