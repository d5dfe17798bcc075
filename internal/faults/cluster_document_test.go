//go:build faults

package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"weir/relay/relaytest/document"
)

// texts are documents that clients on all nodes edit and read.
type texts struct{ *sharing }

// text is one of them.
type text struct {
	shared
	path    string
	history document.History
	epoch   atomic.Pointer[string] // of its log: the first one that was told
}

// maybeOld is for how long a node that was replaced and does not know it may answer with what was there before: what is promised is two seconds, of a machine that has processors left.
const maybeOld = 5 * time.Second

// edit starts clients of each document.
func edit(t testing.TB, nodes []*server, count, clients int) texts {
	t.Helper()
	x := texts{share(t, nodes)}
	for i := range count {
		d := &text{path: fmt.Sprint("/v1/documents/text-", i)}
		d.channel = fmt.Sprint("document:text-", i)
		x.add(&d.shared, d.history.Check, clients, func(ctx context.Context, number int) { x.client(ctx, d, number) })
	}
	x.during("all documents are served", func() {})
	return x
}

// client edits and reads a document until ctx ends.
func (x texts) client(ctx context.Context, d *text, number int) {
	client := &http.Client{Transport: &http.Transport{}, Timeout: 8 * time.Second}
	defer client.CloseIdleConnections()
	known := 0 // version
	for n := 0; ctx.Err() == nil; n++ {
		switch rand.IntN(4) {
		case 0: // it may be a little old
			from := x.now()
			if version, text, ok := x.get(d, ""); ok {
				d.history.Read(version, text, from-maybeOld, x.now())
				d.read.Add(1)
			}
		case 1: // it is certain, after an operation of the reader's
			from := x.now()
			version, ok := x.insert(client, d, number, n, known)
			if to := x.now(); ok {
				known = version
				if text, seen := x.at(d, version); seen {
					d.history.Read(version, text, from, to)
					d.read.Add(1)
				}
			}
		default:
			if version, ok := x.insert(client, d, number, n, known); ok {
				known = version
			}
		}
		<-time.After(rand.N(10 * time.Millisecond))
	}
}

// insert inserts a mark at the beginning, with its id, by one node after the other, until that is acknowledged or refused, or the client gives up: some do so at once. Some operations are
// based on a version that is known, and some on one that there is not, or they do not fit.
func (x texts) insert(client *http.Client, d *text, number, n, known int) (version int, ok bool) {
	mark := fmt.Sprintf("%d-%d", number, n)
	operation, based := fmt.Sprintf(`[%q]`, mark+" "), ""
	switch rand.IntN(20) {
	case 0:
		operation = fmt.Sprintf(`[100000000,%q]`, mark+" ")
	case 1:
		based = `"version":100000000,`
	case 2, 3, 4, 5, 6, 7:
		based = fmt.Sprintf(`"version":%d,`, known)
	}
	body := fmt.Sprintf(`{"operation":%s,%s"src":"client-%d","id":%q}`, operation, based, number, mark)
	from, open, node := x.now(), false, rand.IntN(len(x.nodes))
	for attempts := 1 + rand.IntN(1+rand.IntN(100)); attempts > 0; attempts-- {
		status, answer := post(client, "http://"+x.nodes[node%len(x.nodes)].listen+d.path+"/operations", body)
		var told struct {
			Version     int
			Epoch, Code string
		}
		_ = json.Unmarshal(answer, &told)
		switch {
		case status == 200:
			if !d.epoch.CompareAndSwap(nil, &told.Epoch) && *d.epoch.Load() != told.Epoch {
				x.Errorf("%s: the epoch is %s, and was %s", d.channel, told.Epoch, *d.epoch.Load())
			}
			d.history.Made(mark, told.Version, from, x.now())
			d.wrote.Add(1)
			return told.Version, true
		case status == 400, status == 409:
			attempts = 0
		case status == 503 && told.Code == "overloaded": // nothing has changed
		case status == 0, status == 503:
			open = true
		default:
			x.Errorf("an operation on %s: %d %s", d.channel, status, answer)
			attempts = 0
		}
		node++
		<-time.After(20 * time.Millisecond)
	}
	if open { // an attempt may be made yet
		d.history.Tried(mark, from)
		d.open.Add(1)
	} else {
		d.history.Refused(mark)
		d.refused.Add(1)
	}
	return 0, false
}

// get asks a node for a document. false: it was not answered, or not with what there was, or is.
func (x texts) get(d *text, query string) (version int, content string, ok bool) {
	status, answer := ask("http://" + x.nodes[rand.IntN(len(x.nodes))].listen + d.path + query)
	var told struct {
		Version int
		Text    string
	}
	switch {
	case status == 404:
		return 0, "", true
	case status == 200 && json.Unmarshal([]byte(answer), &told) == nil:
		return told.Version, told.Text, true
	case status != 0 && status != 400 && status != 410 && status != 503:
		x.Errorf("%s: %d %s", d.channel, status, answer)
	}
	return 0, "", false
}

// at is the text of a version that was acknowledged, which is the same for ever, whoever is asked. false: no node that has it was reached.
func (x texts) at(d *text, version int) (content string, ok bool) {
	for attempts := 500; attempts > 0; attempts-- {
		at, content, ok := x.get(d, fmt.Sprint("?version=", version))
		if ok && at == version {
			return content, true
		}
		<-time.After(20 * time.Millisecond)
	}
	return "", false
}

// Clients on all nodes edit and read documents while the nodes that own them are killed and stopped, and partitions are moved. What they are told is what one document would have told them, to which
// one thing happens at a time.
func TestClusterDocument(t *testing.T) {
	nodes := clusterWith(t, 3, "", func(_ int, s *server) { s.configure("systems: [documents]") })
	x := edit(t, nodes, times(12, 4), 3)
	x.trouble(times(9, 1), true)
	x.judge()
}
