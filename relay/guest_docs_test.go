package relay

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"weir/relay/ingress"
)

// What pools are told about idle connections is what happens to them.
func TestTheBackendsPageSaysHowLongConnectionsAreKept(t *testing.T) {
	b, err := os.ReadFile("../docs/backends.md")
	if err != nil {
		t.Fatal(err)
	}
	w := ingress.DefaultTimeouts()
	want := fmt.Sprintf("weir keeps a connection for %d s after the response to a request with\na valid API key, %d s after any other, and %d s when no request has come",
		ingress.KeepAlive/time.Second, w.Stranger/time.Second, w.Request/time.Second)
	if !strings.Contains(string(b), want) {
		t.Errorf("docs/backends.md does not say %q", want)
	}
}
