//go:build faults

package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/loadtest/check"
	"weir/relay/relaytest/ledger"
)

// world is readers and publishers around a relay, and what both know.
type world struct {
	testing.TB
	server   *server
	channels []string
	ledger   *ledger.Ledger
	readers  []*reader
	acked    atomic.Int64
	last     []atomic.Pointer[position] // of what was acknowledged, by channel
	refused  atomic.Int64
	promised []sync.Map // by channel: seq and stamp of what was acknowledged
	forgets  bool       // the relay forgets idempotency keys with its process: what was not answered is not sent again

	stopReading, stopPublishing context.CancelFunc
	reading, publishing         sync.WaitGroup
}

// people starts readers of all channels and publishers that publish one message after the other, every so often.
func people(s *server, channels []string, readers, publishers int, every time.Duration, forgets bool) *world {
	s.Helper()
	w := &world{TB: s.TB, server: s, channels: channels, forgets: forgets, ledger: ledger.New(), last: make([]atomic.Pointer[position], len(channels)), promised: make([]sync.Map, len(channels))}
	var read, publish context.Context
	read, w.stopReading = context.WithCancel(context.Background())
	publish, w.stopPublishing = context.WithCancel(context.Background())
	for i := range readers {
		r := newReader(s, fmt.Sprintf("reader-%d", i), channels)
		w.readers = append(w.readers, r)
		w.reading.Go(func() { r.run(read) })
	}
	w.everybody(1)
	for i := range publishers {
		w.publishing.Go(func() { w.publish(publish, uint32(i), every) })
	}
	s.Cleanup(func() { w.stop() })
	return w
}

func (w *world) stop() {
	w.stopPublishing()
	w.publishing.Wait()
	w.stopReading()
	w.reading.Wait()
}

// everybody waits until all readers were told n times where each of their channels stands.
func (w *world) everybody(n int) {
	w.Helper()
	for _, r := range w.readers {
		until(w, r.seen.Name+" follows", func() bool { return r.follows(n) })
	}
}

// publish publishes stamps in turn to all channels until ctx ends. One that is not answered is sent again with
// its key until it is, unless the relay forgets keys.
func (w *world) publish(ctx context.Context, number uint32, every time.Duration) {
	client := &http.Client{Transport: &http.Transport{}, Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	start, again := time.Now(), time.NewTicker(10*time.Millisecond)
	defer again.Stop()
	for n := 0; ctx.Err() == nil; n++ {
		i := n % len(w.channels)
		stamp := w.ledger.Next(uint32(i), number, time.Since(start).Nanoseconds())
		body := fmt.Sprintf(`{"channel":%q,"idempotencyKey":"%d-%d","data":%s}`, w.channels[i], number, n, stamp.Append(nil, 200))
		for begin := time.Now(); ; <-again.C {
			status, answer := post(client, "http://"+w.server.listen+"/v1/publish", body)
			var told struct{ Position position }
			if status == 200 && json.Unmarshal(answer, &told) == nil {
				w.ledger.Acked(stamp, ledger.Position(told.Position))
				w.last[i].Store(&told.Position)
				w.promised[i].Store(told.Position.Seq, stamp)
				w.acked.Add(1)
				break
			}
			if status == 0 && w.forgets {
				break
			}
			if status != 0 && status != 503 || time.Since(begin) > patience {
				w.Errorf("publish: %d %s", status, answer)
				return
			}
			if status == 503 {
				w.refused.Add(1)
			}
		}
		select {
		case <-time.After(every):
		case <-ctx.Done():
		}
	}
}

// ask makes a request of a backend.
func ask(url string) (int, string) {
	req, err := http.NewRequest("GET", url, http.NoBody)
	if err != nil {
		return 0, err.Error()
	}
	req.Header.Set("Authorization", "Bearer "+apiKey)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

func post(client *http.Client, url, body string) (int, []byte) {
	req, err := http.NewRequest("POST", url, bytes.NewBufferString(body))
	if err != nil {
		return 0, nil
	}
	req.Header.Set("Authorization", "Bearer "+apiKey)
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, nil
	}
	return resp.StatusCode, answer
}

// progress waits until n more messages were acknowledged.
func (w *world) progress(n int64) {
	w.Helper()
	from := w.acked.Load()
	until(w, "publishing goes on", func() bool { return w.acked.Load() >= from+n })
}

// judge ends publishing, waits until all readers stand where the last acknowledged messages do, and lets the
// checker judge.
func (w *world) judge() ledger.Verdict {
	w.Helper()
	w.stopPublishing()
	w.publishing.Wait()
	for _, r := range w.readers {
		for i := range w.channels {
			last := w.last[i].Load()
			if last == nil {
				continue
			}
			until(w, fmt.Sprintf("%s has caught up with %s", r.seen.Name, w.channels[i]), func() bool {
				at := r.stands(i)
				return at.Epoch == last.Epoch && at.Seq >= last.Seq || at.Epoch != last.Epoch && r.follows(1) && w.lost(i, last)
			})
		}
	}
	w.stop()
	var seen []*ledger.Reader
	for _, r := range w.readers {
		seen = append(seen, &r.seen)
	}
	v := w.ledger.Judge(seen...)
	w.Logf("%v", v)
	if !v.OK() {
		w.Errorf("%v\n%s", v, v.Problems)
	}
	if v.Received == 0 {
		w.Error("nobody has received anything")
	}
	return v
}

// kept holds the history of durable channels against what was acknowledged, after judge.
func (w *world) kept() {
	w.Helper()
	for i, channel := range w.channels {
		there := make(map[uint64]check.Stamp)
		for before := ""; ; {
			var page struct {
				Changes []message
				More    bool
			}
			status, answer := ask("http://" + w.server.listen + "/v1/channels/" + channel + "/history?limit=1000" + before)
			if err := json.Unmarshal([]byte(answer), &page); status != 200 || err != nil {
				w.Fatalf("history: %d %s", status, answer)
			}
			for _, m := range page.Changes {
				if stamp, err := check.Parse(m.Data); err == nil {
					there[m.Seq] = stamp
				}
			}
			if !page.More || len(page.Changes) == 0 {
				break
			}
			before = fmt.Sprint("&before=", page.Changes[0].Seq)
		}
		w.promised[i].Range(func(seq, stamp any) bool {
			if there[seq.(uint64)] != stamp.(check.Stamp) {
				w.Errorf("%s: %v was acknowledged at %d, where %v is", channel, stamp, seq, there[seq.(uint64)])
			}
			return true
		})
	}
}

// lost says that the log in which the last message of a channel was acknowledged is no more.
func (w *world) lost(i int, last *position) bool {
	resp, err := http.NewRequest("GET", "http://"+w.server.listen+"/v1/channels/"+w.channels[i], nil)
	if err != nil {
		return false
	}
	resp.Header.Set("Authorization", "Bearer "+apiKey)
	answer, err := http.DefaultClient.Do(resp)
	if err != nil {
		return false
	}
	defer answer.Body.Close()
	var told struct{ Position position }
	return answer.StatusCode == 404 || json.NewDecoder(answer.Body).Decode(&told) == nil && told.Position.Epoch != last.Epoch
}
