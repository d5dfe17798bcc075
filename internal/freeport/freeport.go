package freeport

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
)

var given sync.Map // what this process was told before: port → struct{}. It may be free until what it was meant for listens

// Address returns an address of loopback at which nobody listens, another one each time. Its port is none of those that the system gives to who connects, which may take
// it before it is used.
func Address(t testing.TB) string {
	t.Helper()
	for range 1000 {
		port := 10_000 + rand.IntN(20_000)
		if _, before := given.LoadOrStore(port, struct{}{}); before {
			continue
		}
		address := fmt.Sprint("127.0.0.1:", port)
		if ln, err := net.Listen("tcp", address); err == nil {
			_ = ln.Close()
			return address
		}
	}
	t.Fatal("no port is free")
	return ""
}
