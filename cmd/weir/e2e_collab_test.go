//go:build e2e

package main

import "testing"

// Documents, edited by the clients of others.

func TestE2EShareDB(t *testing.T)    { startDaemon(t).node(t, "sharedb.mjs") }
func TestE2EYjs(t *testing.T)        { startDaemon(t).node(t, "yjs.mjs") }
func TestE2ECodeMirror(t *testing.T) { startDaemon(t).node(t, "codemirror.mjs") }
