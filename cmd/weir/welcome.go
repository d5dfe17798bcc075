package main

import (
	"fmt"
	"net"
	"time"

	"weir/relay/auth"
)

// welcome is what development mode prints: lines to paste into a browser and a shell.
func welcome(public, admin net.Addr, secure bool, data string) (string, error) {
	token, err := auth.Mint(auth.DevSecret, "", auth.Claims{Sub: "u1", Name: "User 1", TTL: 24 * time.Hour})
	if err != nil {
		return "", err
	}
	web, socket, insecure := "http", "ws", ""
	if secure {
		// The certificate of a development machine is rarely one that curl trusts.
		web, socket, insecure = "https", "wss", "-k "
	}
	kept := "Nothing is kept when it ends: --data DIR would."
	if data != "" {
		kept = "Messages, rooms and documents are kept in " + data + "."
	}
	return fmt.Sprintf(`
weir is ready, in development mode: its keys are published, so it listens on this machine only.

Page, open it twice:
  %[1]s://%[3]s/

Demos (chat, a shared document, a feed, notifications, analytics):
  %[1]s://%[3]s/demo

Dashboard:
  http://%[6]s/

%[7]s

Publish from a shell; the page shows it:
  curl %[4]s-H 'Authorization: Bearer dev' -d '{"channel":"demo:lobby","data":{"text":"hello"}}' %[1]s://%[3]s/v1/publish

WebSocket:
  %[2]s://%[3]s/ws

Token for user u1, valid for a day (more: weir token --dev --sub u2):
%[5]s

`, web, socket, public, insecure, token, admin, kept), nil
}
