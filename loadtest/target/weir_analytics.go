package target

import (
	"fmt"
	"strconv"
	"strings"
	"sync"

	"weir/loadtest/check"
	"weir/loadtest/codec"
)

// analytics is the system of weir that counts events: publishers send events, subscribers are dashboards.
const analytics = "analytics"

// weirAnalytics sends each message as an event of its channel's and source's own metric, and watches
// /analytics/live, where only how many there were comes back. Events of one source are numbered without gaps, so a
// count says which ones they are: the adapter hands as many to the checker as were counted.
type weirAnalytics struct {
	at   Endpoint
	head []byte // of a request with events

	// Guarded by mu.
	mu   sync.Mutex
	sent map[string][]check.Stamp // by metric, in the order of their numbers
}

func newWeirAnalytics(o Options, subscribe, publish Endpoint) (Target, error) {
	if o.Key == "" {
		o.Key = "dev"
	}
	if o.Transport != "" && o.Transport != "ws" {
		return nil, fmt.Errorf("transport %q: dashboards use ws: %w", o.Transport, ErrTarget)
	}
	return &weirAnalytics{
		at:   subscribe,
		head: post(publish, publish.at("/v1/events"), [2]string{"Authorization", "Bearer " + o.Key}, [2]string{"Content-Type", "application/x-ndjson"}),
		sent: make(map[string][]check.Stamp),
	}, nil
}

func (w *weirAnalytics) Traits() Traits { return Traits{Batch: 10_000} }

func (w *weirAnalytics) Open(s *Subscriber) codec.Request {
	r := w.at.get(w.at.at("/analytics/live"))
	if s.Token != "" {
		r = r.With("Authorization", "Bearer "+s.Token)
	}
	return r
}

// Greet waits for the snapshot: what comes after it is complete.
func (w *weirAnalytics) Greet(s *Subscriber, msg []byte, _ Sink) (reply []byte, err error) {
	if msg == nil {
		s.Subscribed, s.counted = false, make(map[string]int)
		return nil, nil
	}
	var m metricMessage
	err = decode(msg, &m)
	s.Subscribed = m.Type == "snapshot"
	return nil, err
}

// Read takes an update.
func (w *weirAnalytics) Read(s *Subscriber, msg []byte, seen Sink) (reply []byte, err error) {
	var m metricMessage
	if err := decode(msg, &m); err != nil || m.Type != "metric_update" {
		return nil, err
	}
	var update metricUpdate
	if err := decode(m.Data, &update); err != nil || update.Type != "user" {
		return nil, err
	}
	channel, _, _ := strings.Cut(update.Name, "|")
	followed := s.find(channel)
	if followed < 0 || update.Count == 0 {
		return nil, nil
	}
	metric := strings.Clone(update.Name)
	from := s.counted[metric]
	to := from + int(update.Count)
	s.counted[metric] = to
	w.mu.Lock()
	sent := w.sent[metric]
	w.mu.Unlock()
	var data []byte
	for i := from; i < to && len(sent) > 0; i++ {
		stamp := sent[min(i, len(sent)-1)] // more than were sent: the last one once more
		data = stamp.Append(data[:0], check.MinSize)
		seen.Delivered(followed, 0, nil, data, false)
	}
	return nil, nil
}

// metricMessage is what matters of a message to dashboards.
type metricMessage struct {
	Type string `json:"type"`
	Data raw    `json:"data"`
}

// metricUpdate is the data of a metric_update.
type metricUpdate struct {
	Type  string `json:"type"`
	Name  string `json:"name"`
	Count uint64 `json:"count"`
}

func (w *weirAnalytics) Publish(dst []byte, msgs []Message) []byte {
	return appendRequest(dst, w.head, func(dst []byte) []byte {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, m := range msgs {
			dst = append(dst, `{"topic":"user.action","data":{"value":1`...)
			if stamp, err := check.Parse(m.Data); err == nil { // else it is the test's own greeting
				metric := m.Channel + "|" + strconv.FormatUint(uint64(stamp.Source), 10)
				w.sent[metric] = append(w.sent[metric], stamp)
				dst = appendString(append(dst, `,"name":`...), metric)
			}
			dst = append(dst, "}}\n"...)
		}
		return dst
	})
}

// Refused counts the lines that were not accepted.
func (w *weirAnalytics) Refused(status int, body []byte, n int) int {
	if status != 200 {
		return n
	}
	return max(n-strings.Count(string(body), "{}\n"), 0)
}
