package relay

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"weir/broker"
)

// Under overload a connection may have had its time before the event loop has seen its request. What is carried out then is
// answered, and what is not answered is not carried out: or backends would try again, and readers see it twice.
func TestExpiryAndServingExcludeEachOther(t *testing.T) {
	t.Parallel()
	g := launch(t, openConfig(), func(r *Relay) { r.gate.Timeouts.Request = 100 * time.Millisecond })
	publish := func(channel string) net.Conn {
		nc := g.dial()
		body := fmt.Sprintf(`{"channel":%q,"data":1}`, channel)
		if _, err := fmt.Fprintf(nc, "POST /v1/publish HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
			g.public, apiKey, len(body), body); err != nil {
			t.Fatal(err)
		}
		return nc
	}
	answered := func(nc net.Conn) bool {
		_ = nc.SetReadDeadline(time.Now().Add(patience))
		line, err := bufio.NewReader(nc).ReadString('\n')
		if err != nil && err != io.EOF && !isReset(err) {
			t.Fatal(err)
		}
		return strings.Contains(line, " 200 ")
	}
	held, release, joined := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() { // ended by release
		ch, err := g.relay.hub.Broker.Join("held:1", broker.JoinRequest{}, func(broker.Subscriber, broker.Reply) {
			close(held)
			<-release
		})
		if err == nil {
			ch.Leave()
		}
		joined <- err
	}()
	<-held
	loops := runtime.GOMAXPROCS(0)
	var served, late []net.Conn
	for range loops {
		served = append(served, publish("held:1")) // its event loop waits for the channel
	}
	for i := range 2 * loops {
		late = append(late, publish(fmt.Sprint("late:", i)))
	}
	expired := 0
	for i, nc := range late {
		if !answered(nc) {
			expired++
			late[i] = nil
		}
	}
	if expired == 0 {
		t.Fatal("nothing was held up")
	}
	close(release)
	if err := <-joined; err != nil {
		t.Fatal(err)
	}
	for i, nc := range served {
		if !answered(nc) {
			t.Errorf("the request that event loop %d was serving got no answer", i)
		}
	}
	for range 2 * loops { // behind those, at each event loop
		if !answered(publish("after:1")) {
			t.Error("an event loop does not go on")
		}
	}
	for i, nc := range late {
		if r, ok := g.relay.hub.Broker.Read(fmt.Sprint("late:", i), nil); ok && r.Position.Seq > 0 && nc == nil {
			t.Errorf("request %d was carried out and not answered", i)
		}
	}
}
