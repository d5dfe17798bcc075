//go:build faults

package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// TestNodesAsOne has backends and clients take whichever node they like: presence is the same everywhere, a ticket of one node opens one
// connection on another, and a user is disconnected from all.
func TestNodesAsOne(t *testing.T) {
	nodes := clusterOf(t, 3)
	client := &http.Client{Timeout: 5 * time.Second}
	ask := func(s *server, method, path, body string) map[string]any {
		t.Helper()
		var answer map[string]any
		if method == "POST" {
			if status, b := post(client, "http://"+s.listen+path, body); status != 200 || json.Unmarshal(b, &answer) != nil {
				t.Fatalf("%s: %d %s", path, status, b)
			}
			return answer
		}
		req, err := http.NewRequest(method, "http://"+s.listen+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+apiKey)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		b, err := io.ReadAll(resp.Body)
		if err != nil || json.Unmarshal(b, &answer) != nil {
			t.Fatalf("%s: %v %s", path, err, b)
		}
		return answer
	}
	for i := range 6 { // of all owners
		channel := fmt.Sprint("kept:hall", i)
		readers := 0
		for _, s := range nodes {
			f, _ := follow(s, channel, nil)
			defer func() { _ = f.conn.CloseNow() }()
			readers++
		}
		for _, s := range nodes {
			until(t, "all subscribers are counted", func() bool {
				list, _ := ask(s, "GET", "/v1/channels?prefix="+channel, "")["channels"].([]any)
				return len(list) == 1 && list[0].(map[string]any)["subscribers"] == float64(readers)
			})
		}
	}
	ticket := ask(nodes[0], "POST", "/v1/tickets", `{"userId":"reader"}`)["ticket"].(string)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, "ws://"+nodes[1].listen+"/ws?ticket="+ticket, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.CloseNow() }()
	if again, resp, err := websocket.Dial(ctx, "ws://"+nodes[2].listen+"/ws?ticket="+ticket, nil); err == nil || resp.StatusCode != 401 {
		t.Errorf("a ticket was used twice: %v %v", again, err)
	}
	until(t, "all connections are listed", func() bool {
		list, _ := ask(nodes[2], "GET", "/v1/connections?user=reader", "")["connections"].([]any)
		return len(list) == 6*3+1
	})
	if m := ask(nodes[2], "POST", "/v1/disconnect", `{"userId":"reader"}`); m["disconnected"] != 6.0*3+1 || m["nodes"] != 3.0 {
		t.Errorf("disconnect: %v", m)
	}
	for {
		if _, _, err := conn.Read(ctx); err != nil {
			if code := websocket.CloseStatus(err); code != 4003 {
				t.Errorf("closed with %d: %v", code, err)
			}
			break
		}
	}
}
