package ingress

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"weir/relay/auth"
)

// However many are refused, the log has a line a second for each reason, and says how many more there were.
func TestRefusalsAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var v refusals
		told := map[string]int{}
		for range 10 {
			for range 100 {
				for _, reason := range []auth.Reason{auth.ReasonExpired, auth.ReasonKey} {
					if since, ok := v.take(reason, time.Now()); ok {
						told[fmt.Sprint(reason, since)]++
					}
				}
			}
			time.Sleep(time.Second)
		}
		if len(told) != 4 || told["expired0"] != 1 || told["expired99"] != 9 || told["key99"] != 9 {
			t.Error(told)
		}
	})
}
