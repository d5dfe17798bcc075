package main

import (
	"net"
	"strings"
	"testing"
)

// The page, the demos and the dashboard have one line each.
func TestWelcomeNamesEachPageOnce(t *testing.T) {
	got, err := welcome(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080}, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9090}, false, "kept-here")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range []string{"http://127.0.0.1:8080/", "http://127.0.0.1:8080/demo", "http://127.0.0.1:9090/"} {
		if n := strings.Count(got, "  "+page+"\n"); n != 1 {
			t.Errorf("%s stands there %d times:\n%s", page, n, got)
		}
	}
	if strings.Count(strings.ToLower(got), "demos") != 1 || strings.Count(strings.ToLower(got), "dashboard") != 1 {
		t.Errorf("got %s", got)
	}
}
