//go:build e2e

package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weir/internal/freeport"
)

// Streams of Motia, driven by the packages of Motia and iii.

// inMotia runs a script that starts the relay itself.
func inMotia(t *testing.T, script string) {
	t.Helper()
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	bin, err := filepath.Abs(binary(t))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, "node", script)
	cmd.Dir = filepath.Join("testdata", "motia")
	cmd.Env = append(os.Environ(), "E2E_BINARY="+bin, "E2E_LISTEN="+freeport.Address(t), "E2E_ADMIN="+freeport.Address(t), "MOTIA_ANALYTICS_DISABLED=true")
	cmd.WaitDelay = time.Second
	if out, err := cmd.CombinedOutput(); err != nil || !strings.HasSuffix(strings.TrimSpace(string(out)), "ok") {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
}

// TestE2EMotiaClient: the client for Node.js follows groups and items, also across a restart.
func TestE2EMotiaClient(t *testing.T) { inMotia(t, "client.mjs") }

// TestE2EMotiaBrowser: the clients for browsers and React do in Chromium, also across a restart.
func TestE2EMotiaBrowser(t *testing.T) { inMotia(t, "browser.mjs") }

// TestE2EMotiaApp: the example app runs on Motia's core, and its streams live here.
func TestE2EMotiaApp(t *testing.T) { inMotia(t, "app.mjs") }

// TestE2EMotiaIII: the SDK of iii has an app's streams live here. The engine is a stand-in: it is in no package.
func TestE2EMotiaIII(t *testing.T) { inMotia(t, "iii.mjs") }
