//go:build faults

package faults

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"weir/internal/freeport"
)

// refuses starts a node that is not to be ready, by a path of its own, and holds what it says.
func refuses(s *server, path string, want ...string) {
	s.Helper()
	s.launch()
	until(s, "it says "+strings.Join(want, ", "), func() bool {
		log := s.log.String()
		for _, w := range want {
			if !strings.Contains(log, w) {
				return false
			}
		}
		return true
	})
	if s.status(path) == 200 {
		s.Error("it is ready all the same")
	}
}

// What belongs to something else is refused with what to do, and nothing happens to it: the directory of one node, that of a cluster's server, the name of another cluster, a node of a name that is there, a
// log of another version.
func TestClusterNames(t *testing.T) {
	const durable = "  safe: {durable: true, history: {size: 100}}\n"
	n := startNATS(t)
	join := func(name, more string) *server {
		s := newServer(t, durable+more)
		s.args = []string{"--node", name, "--cluster", n.urls()}
		return s
	}
	var nodes []*server
	for i := range 3 {
		nodes = append(nodes, join(fmt.Sprint("weir-", i), ""))
		nodes[i].launch()
	}
	ready(t, nodes)
	publishes := func(s *server, channel string) {
		t.Helper()
		until(t, "something is acknowledged in "+channel, func() bool {
			status, _ := post(http.DefaultClient, "http://"+s.listen+"/v1/publish", fmt.Sprintf(`{"channel":%q,"data":1}`, channel))
			return status == 200
		})
	}
	publishes(nodes[0], "safe:a")

	other := join("other-0", "  else: {subscribe: authenticated}\n")
	refuses(other, "/readyz", "another node has other namespaces", "cluster.name", "else")
	other.kill()
	other = join("other-0", "  else: {subscribe: authenticated}\ncluster: {name: other}\n")
	other.launch()
	ready(t, []*server{other})
	until(other, "safe:a is not there", func() bool {
		status, answer := ask("http://" + other.listen + "/v1/channels/safe:a")
		if status == 200 {
			t.Errorf("another cluster has the channel: %s", answer)
		}
		return status == 404 || status == 200
	})
	publishes(other, "safe:a")
	publishes(nodes[1], "safe:a")

	dir := t.TempDir()
	alone := newServer(t, durable+"data: "+dir+"\n")
	alone.start()
	publishes(alone, "safe:a")
	alone.drain()
	within := func(data string) []string {
		route := freeport.Address(t)
		return []string{"--node", "alone", "--cluster-listen", route, "--cluster-routes", route + "," + freeport.Address(t), "--cluster-data", data}
	}
	alone.args = within(t.TempDir())
	ends(alone, "data: a cluster does not use the data directory of a single node")
	embedded := newServer(t, durable)
	embedded.args = within(dir)
	ends(embedded, "cluster.embed.data", "weir data export")
	alone.args = nil
	alone.start() // nothing has happened to it
	stands(alone, "safe:a", 1)
	dir = t.TempDir()
	embedded = newServer(t, durable)
	embedded.args = within(dir)
	embedded.launch()
	until(t, "the server has begun", func() bool {
		_, err := os.Stat(dir + "/jetstream")
		return err == nil
	})
	embedded.kill()
	alone = newServer(t, durable+"data: "+dir+"\n")
	ends(alone, "a cluster", "weir cluster export")
	if _, err := os.Stat(dir + "/log"); err == nil {
		t.Error("something was written into the directory of a server")
	}

	for _, s := range nodes {
		s.drain()
	}
	for i := range nodes {
		write(t, n, fmt.Sprint("WEIR_weir_L", i), "WLF9"+strings.Repeat("x", 100))
	}
	nodes[0].log = new(logbook)
	refuses(nodes[0], "/readyz?durable", "another version of weir", "WLF9", "cluster.name")
}

// stands holds where a channel stands.
func stands(s *server, channel string, seq int) {
	s.Helper()
	until(s, channel+" is read", func() bool {
		status, answer := ask("http://" + s.listen + "/v1/channels/" + channel)
		if status == 200 && !strings.Contains(answer, fmt.Sprintf(`"seq":%d`, seq)) {
			s.Errorf("%s is at %s, want %d", channel, answer, seq)
		}
		return status == 200
	})
}

// ends starts a process that is to end by itself, and holds what it says.
func ends(s *server, want ...string) {
	s.Helper()
	s.launch()
	err := s.cmd.Wait()
	for _, w := range want {
		if !strings.Contains(s.log.String(), w) || err == nil {
			s.Errorf("it ended with %v and said %q, want %q", err, s.log.String(), w)
		}
	}
	s.cmd = nil
}

// write has a stream begin its next message with something.
func write(t *testing.T, n *natsServers, stream, message string) {
	t.Helper()
	c, err := nats.Connect(n.urls())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	js, err := c.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	info, err := js.StreamInfo(stream)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(info.Config.Subjects[0], []byte(message)); err != nil {
		t.Fatal(err)
	}
}
