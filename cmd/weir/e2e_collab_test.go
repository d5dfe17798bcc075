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

// Documents, edited by the clients of others.

func TestE2EShareDB(t *testing.T)    { aside(t, "sharedb.mjs") }
func TestE2EYjs(t *testing.T)        { aside(t, "yjs.mjs") }
func TestE2ECodeMirror(t *testing.T) { aside(t, "codemirror.mjs") }

// TestE2EShareDBServer holds the relay's answers against those of ShareDB's own server.
func TestE2EShareDBServer(t *testing.T) {
	startDaemon(t, "--data", t.TempDir()).node(t, "sharedb-server.mjs")
}

// TestE2EOddText brings halves of surrogate pairs, and other things that are hard to keep whole, into all protocols.
func TestE2EOddText(t *testing.T) { aside(t, "odd.mjs", "--data", t.TempDir()) }

// TestE2ECuts lets all of these clients edit at once while connections break and the relay is killed.
func TestE2ECuts(t *testing.T) {
	for _, seed := range []string{"1", "2", "3"} {
		t.Run(seed, func(t *testing.T) {
			t.Parallel()
			cuts(t, seed, 1)
		})
	}
}

// TestE2EClusterCuts does so on three nodes, which are killed and stopped in turn.
func TestE2EClusterCuts(t *testing.T) { cuts(t, "6", 3) }

// cuts runs cuts.mjs, which starts the nodes itself.
func cuts(t *testing.T, seed string, nodes int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	bin := binary(t)
	token, err := exec.Command(bin, "token", "--dev", "--sub", "e2e").Output()
	if err != nil {
		t.Fatal(err)
	}
	var listen, admin, routes []string
	for range nodes {
		listen, admin, routes = append(listen, freeport.Address(t)), append(admin, freeport.Address(t)), append(routes, freeport.Address(t))
	}
	cmd := exec.CommandContext(ctx, "node", "cuts.mjs")
	cmd.Dir = filepath.Join("testdata", "e2e")
	cmd.Env = append(os.Environ(), "E2E_SEED="+seed, "E2E_BINARY="+bin, "E2E_LISTEN="+strings.Join(listen, ","), "E2E_ADMIN="+strings.Join(admin, ","),
		"E2E_DATA="+t.TempDir(), "E2E_TOKEN="+strings.TrimSpace(string(token)))
	if nodes > 1 {
		cmd.Env = append(cmd.Env, "E2E_ROUTES="+strings.Join(routes, ","))
	}
	if out, err := cmd.CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != "ok" {
		t.Fatalf("cuts.mjs with seed %s: %v\n%.4000s", seed, err, out)
	}
}
