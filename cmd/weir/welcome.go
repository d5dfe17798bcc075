package main

import (
	"fmt"
	"net"
	"time"

	"weir/relay/auth"
	"weir/relay/config"
)

// welcome is what development mode prints: lines to paste into a browser and a shell.
func welcome(public, admin net.Addr, cfg config.Config) (string, error) {
	secret, apiKey := cfg.DevKeys()
	token, err := auth.Mint(secret, "", auth.Claims{Sub: "u1", Name: "User 1", TTL: 24 * time.Hour})
	if err != nil {
		return "", err
	}
	web, socket, insecure := "http", "ws", ""
	if cfg.TLS.Cert != "" {
		// The certificate of a development machine is rarely one that curl trusts.
		web, socket, insecure = "https", "wss", "-k "
	}
	kept := "Nothing is kept when it ends: --data DIR would."
	if cfg.Data != "" {
		kept = "Messages, rooms and documents are kept in " + cfg.Data + "."
	}
	demos := "chat, a shared document, a feed, notifications, analytics"
	if cfg.Cluster.On() {
		kept = "Several nodes are one relay: what is in memory is there for as long as one of them is."
		demos = "analytics, an answer that comes token by token, a page to break things on"
	}
	who := "its keys are published, so it listens on this machine only"
	if !cfg.DevLocal() {
		who = "its keys are your own, so the page asks for a token and the demos for the API key"
	}
	key, mint := "'Authorization: Bearer "+apiKey+"'", "weir token --dev --sub u2"
	if cfg.DevAPIKey != "" { // keys of one's own stay out of logs
		key = `"Authorization: Bearer $WEIR_DEV_API_KEY"`
	}
	if cfg.DevTokenSecret != "" {
		mint += ", where WEIR_DEV_TOKEN_SECRET is set"
	}
	return fmt.Sprintf(`
weir is ready, in development mode: %[8]s.

Page, open it twice:
  %[1]s://%[3]s/

Demos (%[11]s):
  %[1]s://%[3]s/demo

Dashboard:
  http://%[6]s/

%[7]s

Publish from a shell; the page shows it:
  curl %[4]s-H %[9]s -d '{"channel":"demo:lobby","data":{"text":"hello"}}' %[1]s://%[3]s/v1/publish

WebSocket:
  %[2]s://%[3]s/ws

Token for user u1, valid for a day (more: %[10]s):
%[5]s

`, web, socket, reached(public), insecure, token, reached(admin), kept, who, key, mint, demos), nil
}

// reached is where a listener is found from this machine, or through a port of a container's.
func reached(a net.Addr) string {
	if host, port, err := net.SplitHostPort(a.String()); err == nil && net.ParseIP(host).IsUnspecified() {
		return net.JoinHostPort("localhost", port)
	}
	return a.String()
}
