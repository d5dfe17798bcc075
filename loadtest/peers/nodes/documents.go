package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/coder/websocket"
)

const document = "bench"

// documents measures operations of an editor: on one node, on the node that owns the document, and on another one.
func (r *run) documents() error {
	r.say("documents")
	r.edits, r.kept = true, synced
	defer func() { r.edits, r.kept = false, "" }()
	operations := 2000
	if r.quick {
		operations = 100
	}
	r.printf("\n### Operations of a document\n\nAn editor appends a character when the one before is acknowledged, %d times: it is on the disk of one node, or two of the three servers have it on theirs. weir gathers nothing (`batch.window: 0s`).\n", operations)
	r.printf("| servers | editor on | owner | operations/s | p50 ms | p99 ms |\n|---|---|---|---|---|---|")
	if _, err := r.relay(1, 0); err != nil {
		return err
	}
	if err := r.edit("one node | – | –", 0, operations); err != nil {
		return err
	}
	r.stopAll()
	if _, err := r.relay(nodeCount, 0); err != nil {
		return err
	}
	for _, owner := range []int{0, 1} {
		if err := r.move("document:"+document, owner); err != nil {
			return err
		}
		if err := r.edit(fmt.Sprintf("three nodes | 1 | %d", owner+1), 0, operations); err != nil {
			return err
		}
	}
	return nil
}

// edit makes operations on a node, and writes a row.
func (r *run) edit(row string, node, operations int) error {
	client := &http.Client{Timeout: 20 * time.Second}
	answer, err := ask(client, http.MethodGet, node, "/demo/token?user=editor", "", "")
	var token struct{ Token string }
	if err != nil || json.Unmarshal([]byte(answer), &token) != nil {
		return fmt.Errorf("token: %w: %.200s", err, answer)
	}
	ctx, cancel := context.WithTimeout(r.ctx, time.Minute)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(public(node), "http")+"/documents/"+document+"/collaborate",
		&websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer " + token.Token}}})
	if err != nil {
		return fmt.Errorf("editor: %w", err)
	}
	defer func() { _ = conn.CloseNow() }()
	var m struct {
		Type    string
		Version uint64
		Text    string
		Code    string
	}
	until := func(kind string) error {
		for m.Type = ""; m.Type != kind; {
			_, b, err := conn.Read(ctx)
			if err == nil {
				err = json.Unmarshal(b, &m)
			}
			if err == nil && m.Type == "error" {
				err = fmt.Errorf("%s", b)
			}
			if err != nil {
				return fmt.Errorf("editor: %w", err)
			}
		}
		return nil
	}
	if err := until("document"); err != nil {
		return err
	}
	length := len(m.Text)
	var took []time.Duration
	begun := time.Now()
	for i := range operations {
		op := `["x"]`
		if length+i > 0 {
			op = fmt.Sprintf(`[%d,"x"]`, length+i)
		}
		sent := time.Now()
		if err := conn.Write(ctx, websocket.MessageText, fmt.Appendf(nil, `{"type":"operation","id":%d,"version":%d,"operation":%s}`, i+1, m.Version, op)); err != nil {
			return fmt.Errorf("editor: %w", err)
		}
		if err := until("ok"); err != nil {
			return err
		}
		took = append(took, time.Since(sent))
	}
	all := time.Since(begun)
	slices.Sort(took)
	r.printf("| %s | %.0f | %.2f | %.2f |", row, float64(operations)/all.Seconds(), took[len(took)/2].Seconds()*1e3, took[len(took)*99/100].Seconds()*1e3)
	return nil
}
