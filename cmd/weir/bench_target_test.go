package main

import (
	"bytes"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weir/loadtest/protocol"
)

// Whatever is wrong with how a target is described is one line and exit code 2.
func TestWrongTargetsAreOneLine(t *testing.T) {
	file := filepath.Join(t.TempDir(), "none.yaml")
	if err := os.WriteFile(file, []byte("name: none\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"check", "nope"}, "expected a file ending in .yaml, or one of weir,"},
		{[]string{"check", file}, "expected a target section in it, or --target"},
		{[]string{"check", "phoenix", "--target", "ws"}, "expected one of them"},
		{[]string{"check", "/nowhere/x.yaml"}, "/nowhere/x.yaml"},
		{[]string{"check", "phoenix", "--url", "http://127.0.0.1:1"}, "connection refused"},
		{[]string{"fanout", "--target", "nope"}, "or a file ending in .yaml"},
		{[]string{"fanout", "--target", file}, "expected a target section"},
		{[]string{"fanout", "--target", "json"}, "target.publish: without body and send"},
		{[]string{"fanout", "--target", "json", "--publish-body", "x", "--publish-send", "y"}, "expected no --publish-body"},
		{[]string{"fanout", "--target", "json", "--publish-body", "{{x}}"}, `no variable "x"`},
		{[]string{"fanout", "--var", "a=b"}, "expected --target json, a preset or a file beside it"},
		{[]string{"fanout", "--target", "phoenix", "--var", "ab"}, "expected NAME=VALUE"},
		{[]string{"fanout", "--target", "phoenix", "--answer", "ping"}, "expected TEXT=>TEXT"},
		{[]string{"fanout", "--header", "x"}, "expected NAME:VALUE"},
		{[]string{"fanout", "--header", "x: a\nb"}, "expected one line"},
		{[]string{"fanout", "--token", "a\nb"}, "--token: expected one line"},
		{[]string{"fanout", "--insecure"}, "begins with https"},
		{[]string{"fanout", "--url", "https://127.0.0.1:1", "--ca", "/nowhere/ca.pem"}, "/nowhere/ca.pem"},
		{[]string{"fanout", "--url", "https://127.0.0.1:1", "--ca", file}, "expected certificates in PEM"},
		{[]string{"fanout", "--url", "https://127.0.0.1:1", "--ca", file, "--insecure"}, "expected one of them"},
		{[]string{"herd", "--target", "phoenix"}, "cannot resume"},
	} {
		var said bytes.Buffer
		code := (&program{stdout: io.Discard, stderr: &said}).run(append([]string{"bench"}, tt.args...))
		if code != exitUsage || !strings.Contains(said.String(), tt.want) || strings.Count(said.String(), "\n") != 1 {
			t.Errorf("%q: exit %d, %q, expected %q", tt.args, code, said.String(), tt.want)
		}
	}
}

// A server with a certificate of its own is measured when it is trusted, and nothing of the description gets lost on the way.
func TestBenchChecksADescribedServer(t *testing.T) {
	var asked *http.Request
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r
		w.WriteHeader(http.StatusTeapot)
	}))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	defer srv.Close()
	args := []string{
		"bench", "check", "json", "--url", srv.URL + "/live?room={{channel}}&v={{version}}", "--insecure", "--header", "X-A: {{user}}", "--cookie", "a=b", "--cookie", "c={{number}}",
		"--origin", "https://example.org", "--subprotocol", "v1", "--var", "version=2 3", "--publish-body", "{{payload}}",
	}
	var out, said bytes.Buffer
	if code := (&program{stdout: &out, stderr: &said}).run(args); code != exitFailure || !strings.Contains(said.String(), "418") {
		t.Fatal(code, said.String())
	}
	h := asked.Header
	if asked.RequestURI != "/live?room=bench%3A0&v=2+3" || h.Get("X-A") != "u0" || h.Get("Cookie") != "a=b; c=0" || h.Get("Origin") != "https://example.org" || h.Get("Sec-Websocket-Protocol") != "v1" {
		t.Error(asked.RequestURI, h)
	}
	if code := (&program{stdout: &out, stderr: &said}).run([]string{"bench", "check", "json", "--url", srv.URL, "--publish-body", "x"}); code != exitUsage || !strings.Contains(said.String(), "certificate") {
		t.Error(code, said.String())
	}
}

// The help names every preset.
func TestBenchHelpNamesEveryPreset(t *testing.T) {
	var out bytes.Buffer
	if code := (&program{stdout: &out, stderr: &out}).run([]string{"bench", "run", "--help"}); code != exitOK {
		t.Fatal(code)
	}
	for _, name := range protocol.Names() {
		if !strings.Contains(out.String(), name) {
			t.Errorf("%s is missing", name)
		}
	}
}
