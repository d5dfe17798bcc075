package main

import (
	"net"
	"strings"
	"testing"

	"weir/relay/config"
)

// The page, the demos and the dashboard have one line each.
func TestWelcomeNamesEachPageOnce(t *testing.T) {
	got := welcomed(t, net.IPv4(127, 0, 0, 1), config.Config{Dev: true, Data: "kept-here"})
	for _, page := range []string{"http://127.0.0.1:8080/", "http://127.0.0.1:8080/demo", "http://127.0.0.1:9090/"} {
		if n := strings.Count(got, "  "+page+"\n"); n != 1 {
			t.Errorf("%s stands there %d times:\n%s", page, n, got)
		}
	}
	if strings.Count(strings.ToLower(got), "demos") != 1 || strings.Count(strings.ToLower(got), "dashboard") != 1 {
		t.Errorf("got %s", got)
	}
	if !strings.Contains(got, "'Authorization: Bearer dev'") {
		t.Errorf("got %s", got)
	}
}

// A node of a cluster is not told to take --data, which is refused there, nor shown demos of systems that it cannot have.
func TestWelcomeInACluster(t *testing.T) {
	got := welcomed(t, net.IPv4(127, 0, 0, 1), config.Config{Dev: true, Cluster: config.Cluster{NATS: []string{"nats://127.0.0.1:4222"}}})
	if strings.Contains(got, "--data") || strings.Contains(got, "chat") || strings.Count(got, "Demos (analytics,") != 1 {
		t.Errorf("got %s", got)
	}
}

// Keys of one's own are not printed, and addresses are those that a browser can open.
func TestWelcomeWithOwnKeys(t *testing.T) {
	secret, key := strings.Repeat("s", 32), strings.Repeat("k", 32)
	got := welcomed(t, net.IPv4zero, config.Config{Dev: true, Listen: "0.0.0.0:8080", DevTokenSecret: secret, DevAPIKey: key})
	if strings.Contains(got, secret) || strings.Contains(got, key) || strings.Contains(got, "published") || strings.Contains(got, "Bearer dev") {
		t.Errorf("got %s", got)
	}
	for _, want := range []string{"  http://localhost:8080/demo\n", `"Authorization: Bearer $WEIR_DEV_API_KEY"`, "WEIR_DEV_TOKEN_SECRET"} {
		if !strings.Contains(got, want) {
			t.Errorf("want %s in %s", want, got)
		}
	}
}

func welcomed(t *testing.T, ip net.IP, cfg config.Config) string {
	t.Helper()
	got, err := welcome(&net.TCPAddr{IP: ip, Port: 8080}, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9090}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return got
}
