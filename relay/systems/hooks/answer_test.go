package hooks

import (
	"testing"
	"time"
)

// A backend that says that its answer holds for no time at all, or for ever, is asked again after a second, or a day.
func TestBoundsOfExpiry(t *testing.T) {
	s := &System{config: &Config{}}
	asked := time.Now().Truncate(time.Microsecond) // as identities keep times
	for body, want := range map[string]time.Duration{
		`{"user":{"id":1},"expiresIn":0}`:     minExpiry,
		`{"user":{"id":1},"expiresIn":1e-9}`:  minExpiry,
		`{"user":{"id":1},"expiresIn":60.5}`:  60500 * time.Millisecond,
		`{"user":{"id":1},"expiresIn":1e300}`: maxExpiry,
		`{"user":{"id":1}}`:                   defaultExpiry,
	} {
		id, err := s.parseConnect([]byte(body), new(credentials), asked)
		if err != nil {
			t.Fatal(err)
		}
		if again := id.Vouched.Refresh.Sub(asked); id.Expires.Time().Sub(asked) != want || again < want*8/10 || again > want {
			t.Errorf("%s: asked again after %s, over after %s, want %s", body, again, id.Expires.Time().Sub(asked), want)
		}
	}
}
