package pool_test

import (
	"bufio"
	"fmt"
	"net"
	"time"

	"weir/pool"
)

// client is the least that an owner does.
type client struct{ conn *pool.Conn }

func (c *client) Tail(dst []byte, _ *pool.Topic, _ *pool.Frame) []byte { return dst }
func (c *client) Slow()                                                { c.conn.Shut([]byte("too slow\n"), true) }
func (c *client) Missed()                                              { c.conn.Shut([]byte("come back\n"), true) }
func (c *client) Resync(*pool.Topic)                                   {}
func (c *client) Readable()                                            {}
func (c *client) Heartbeat(time.Time)                                  {}
func (c *client) Check(time.Time)                                      {}

func Example() {
	p := pool.New(pool.Config{})
	defer p.Close()

	near, far := net.Pipe() // or what a listener accepts
	c := new(client)
	c.conn = p.Open(near, 0, false, c)

	// A topic's lock orders joining and delivering; here it is one goroutine.
	room := p.Topic(pool.Disconnect, nil)
	room.Deliver(&pool.Frame{Last: 1, Bytes: [pool.Common][]byte{[]byte("nobody is here\n")}})
	c.conn.Join(room, 1, []byte("joined at 1\n"), nil)
	room.Deliver(&pool.Frame{Last: 2, Bytes: [pool.Common][]byte{[]byte("hello\n")}})
	c.conn.Leave(room, 2, []byte("left at 2\n"), nil)
	room.Deliver(&pool.Frame{Last: 3, Bytes: [pool.Common][]byte{[]byte("too late\n")}})
	c.conn.Shut([]byte("bye\n"), false)

	lines := bufio.NewScanner(far)
	for lines.Scan() {
		fmt.Println(lines.Text())
		if lines.Text() == "bye" { // a pipe has no half to close
			break
		}
	}
	c.conn.Remove(nil)

	// Output:
	// joined at 1
	// hello
	// left at 2
	// bye
}
