//go:build faults

package faults

import (
	"bytes"
	"fmt"
	"net/http"
	"testing"
	"time"
)

// fill has channels have a history: n events of 200 bytes each, each with its key.
func fill(s *server, channels []string, n int) {
	s.Helper()
	client := &http.Client{Timeout: patience}
	for from := 0; from < n; from += 1000 {
		for _, channel := range channels {
			var lines bytes.Buffer
			for i := from; i < min(n, from+1000); i++ {
				fmt.Fprintf(&lines, `{"channel":%q,"idempotencyKey":"fill-%d","data":"%0200d"}`+"\n", channel, i, i)
			}
			request, err := http.NewRequest(http.MethodPost, "http://"+s.listen+"/v1/publish", &lines)
			if err != nil {
				s.Fatal(err)
			}
			request.Header.Set("Authorization", "Bearer "+apiKey)
			request.Header.Set("Content-Type", "application/x-ndjson")
			resp, err := client.Do(request)
			if err != nil {
				s.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				s.Fatal(resp.Status)
			}
		}
	}
}

// Nodes are restarted in order whose channels have long histories: what is handed over, and what a node that is back follows, are hundreds of megabytes. It is as with short ones.
func TestClusterLarge(t *testing.T) {
	nodes := clusterOf(t, 3)
	fill(nodes[0], names("kept", times(30, 6)), times(40_000, 20_000))
	f := sail(t, nodes, times(30, 6), times(6, 3), 5*time.Millisecond, false)
	rolling(t, f, times(3, 1), nil)
	f.judge()
}
