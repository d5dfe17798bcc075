package outbox

import (
	"testing"
	"time"
)

// ReadWholeEvery has relays of a test, which are started after it, read the table from its beginning more often.
func ReadWholeEvery(t testing.TB, d time.Duration) {
	before := wholeEvery
	wholeEvery = d
	t.Cleanup(func() { wholeEvery = before })
}
