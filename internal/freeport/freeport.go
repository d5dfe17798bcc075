package freeport

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
)

// Address returns an address of loopback at which nobody listens. Its port is none of those that the system gives to who connects, which may take it before it is used.
func Address(t testing.TB) string {
	t.Helper()
	for range 1000 {
		address := fmt.Sprint("127.0.0.1:", 10_000+rand.IntN(20_000))
		if ln, err := net.Listen("tcp", address); err == nil {
			_ = ln.Close()
			return address
		}
	}
	t.Fatal("no port is free")
	return ""
}
