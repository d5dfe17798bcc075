package mercure_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weir/internal/process"
	"weir/relay/config"
	"weir/relay/relaytest"
	"weir/relay/systems/mercure"
)

// manyStreams is how many there are, if there are two descriptors for each and some to spare.
func manyStreams(t *testing.T) int {
	n := 5000
	if limit, ok := process.DescriptorLimit(); ok {
		n = min(n, (min(limit, 1<<20)-200)/2)
	}
	if testing.Short() {
		n = min(n, 500)
	}
	t.Logf("%d subscribers", n)
	return n
}

// addressed is a topic that only one subscriber asks for, in one of the ways in which that can be done.
func addressed(i int) (topic, query string, private bool) {
	topic = fmt.Sprintf("https://e.com/users/%d/inbox", i)
	one := func(name, selector string) string { return name + "=" + url.QueryEscape(selector) }
	template := fmt.Sprintf("https://e.com/users/%d/{box}", i)
	switch i % 6 {
	case 0:
		return topic, one("topic", topic), false
	case 1:
		return topic, one("topic", template), false
	case 2:
		return topic, one("topic", topic), true
	case 3:
		return topic, one("topic", template), true
	case 4:
		return topic, one("match", topic), false
	default:
		return topic, one("match_urlpattern", fmt.Sprintf("https://e.com/users/%d/:box", i)), false
	}
}

// TestManySubscribers: of 5000 subscribers with a selector each, an update that is addressed to one reaches that one and no other.
func TestManySubscribers(t *testing.T) {
	n := manyStreams(t)
	g := start(t, func(_ *config.Config, c *mercure.Config) { c.Subscriptions = false })
	host := strings.TrimPrefix(g.URL, "http://")
	streams := make([]*bufio.Reader, n)
	next := func(i int) (data string, err error) { // of the next event
		for {
			line, err := streams[i].ReadString('\n')
			if err != nil {
				return "", fmt.Errorf("stream %d: %w", i, err)
			}
			if data, ok := strings.CutPrefix(line, "data: "); ok {
				return strings.TrimSuffix(data, "\n"), nil
			}
		}
	}
	open := func(i int) error {
		nc, err := net.Dial("tcp", host)
		if err != nil {
			return err
		}
		t.Cleanup(func() { _ = nc.Close() })
		_ = nc.SetDeadline(time.Now().Add(5 * relaytest.Patience))
		topic, query, private := addressed(i)
		head := "GET " + path + "?" + query + " HTTP/1.1\r\nHost: x\r\n"
		if private {
			head += bearer(token(nil, []string{topic})) + "\r\n"
		}
		if _, err = nc.Write([]byte(head + "\r\n")); err != nil {
			return err
		}
		streams[i] = bufio.NewReaderSize(nc, 512)
		for line := ""; line != ":\n"; { // the comment that comes first
			if line, err = streams[i].ReadString('\n'); err != nil {
				return fmt.Errorf("stream %d: %w", i, err)
			}
		}
		return nil
	}
	each := func(f func(i int) error) {
		t.Helper()
		var group sync.WaitGroup
		var at atomic.Int64
		for range 8 {
			group.Go(func() { // ends with the list
				for i := int(at.Add(1)) - 1; i < n; i = int(at.Add(1)) - 1 {
					if err := f(i); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		if group.Wait(); t.Failed() {
			t.FailNow()
		}
	}
	post := func(i int, data string) error {
		topic, _, private := addressed(i)
		form := url.Values{"topic": {topic}, "data": {data}}
		if private {
			form.Set("private", "on")
		}
		r, err := http.NewRequest("POST", g.URL+path, strings.NewReader(form.Encode()))
		if err != nil {
			return err
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Authorization", "Bearer "+anyone)
		a, err := http.DefaultClient.Do(r)
		if err != nil {
			return err
		}
		_ = a.Body.Close()
		if a.StatusCode != http.StatusOK {
			return fmt.Errorf("update %d: %s", i, a.Status)
		}
		return nil
	}

	each(open)
	if got := g.Gauge("weir_mercure_classes"); got != float64(n) {
		t.Fatalf("%v classes of %d subscribers", got, n)
	}
	one := n * 2 / 3
	sent := func() float64 { return g.Gauge(`weir_deliveries_total{namespace="mercure"}`) }
	before := sent()
	if err := post(one, "for one"); err != nil {
		t.Fatal(err)
	}
	if data, err := next(one); err != nil || data != "for one" {
		t.Fatal(data, err)
	}
	relaytest.Until(t, "it is counted", func() bool { return sent() > before })
	if got := sent() - before; got != 1 {
		t.Errorf("it was delivered %v times", got)
	}
	each(func(i int) error { return post(i, fmt.Sprint("for ", i)) }) // behind which nothing else has come before
	each(func(i int) error {
		if data, err := next(i); err != nil || data != fmt.Sprint("for ", i) {
			return fmt.Errorf("subscriber %d got %q: %w", i, data, err)
		}
		return nil
	})
}
