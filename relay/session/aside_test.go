package session

import (
	"testing"
	"testing/synctest"
	"time"

	"weir/relay/config"
	"weir/relay/hub"
)

// hasteOf lets nobody be asked about a command that has waited for as long as a decision may take while one failed.
func TestNobodyIsAskedInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Session{manager: &Manager{hub: &hub.Hub{Config: new(config.Config)}}}
		s.manager.hub.Config.Auth.Webhook.Timeout = 2 * time.Second
		a := new(aside)
		h := &Held{Since: time.Now()}
		time.Sleep(time.Minute)
		if how, _, _ := s.hasteOf(a, h); how != hub.WaitForAll {
			t.Error("a backend that answers slowly is not asked")
		}
		_ = (&Beside{s: s, a: a}).Noted(hub.ErrUnavailable)
		if how, _, _ := s.hasteOf(a, h); how != hub.WaitForDisk {
			t.Error("a backend that does not answer is asked again for a command that has waited for long")
		}
		time.Sleep(time.Second)
		if how, _, _ := s.hasteOf(a, &Held{Since: time.Now()}); how != hub.WaitForAll {
			t.Error("a backend that did not answer is not asked again")
		}
		s.ended, s.until = true, time.Now().Add(asideGrace).UnixNano()
		if _, ended, over := s.hasteOf(a, h); !ended || over {
			t.Error("what is held is dropped at once")
		}
		time.Sleep(asideGrace + 1)
		if _, _, over := s.hasteOf(a, h); !over {
			t.Error("what is held outlives its session")
		}
	})
}
