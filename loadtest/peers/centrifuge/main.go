// Command centrifuge serves the centrifuge library the way Centrifugo does: clients connect to
// /connection/websocket with its JSON protocol, backends post to /api/publish and /api/batch. Everybody
// may subscribe to everything and publish, so it listens on loopback only.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	_ "net/http/pprof" // weir bench asks for a garbage collection before it reads the memory
	"os"
	"time"

	"github.com/centrifugal/centrifuge"
)

func main() {
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: centrifuge [-delay 20ms] ADDRESS")
		flag.PrintDefaults()
	}
	delay := flag.Duration("delay", 0, "collect messages for a connection this long before a write; 0 writes at once")
	flag.Parse()
	if flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(flag.Arg(0), *delay); err != nil {
		log.Fatal(err)
	}
}

// run serves until the process is ended.
func run(address string, delay time.Duration) error {
	l, err := listen(address)
	if err != nil {
		return err
	}
	node, err := newNode(delay)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /connection/websocket", centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{
		UseWriteBufferPool: true,
	}))
	mux.Handle("/debug/pprof/", http.DefaultServeMux)
	a := api{node}
	mux.HandleFunc("POST /api/publish", a.publish)
	mux.HandleFunc("POST /api/batch", a.batch)
	return http.Serve(l, mux)
}

var errNotLoopback = errors.New("expected an address of this machine alone, such as 127.0.0.1:8000")

func listen(address string) (net.Listener, error) {
	at, err := net.ResolveTCPAddr("tcp", address)
	if err != nil || !at.IP.IsLoopback() {
		return nil, fmt.Errorf("listen %s: %w", address, errNotLoopback)
	}
	return net.ListenTCP("tcp", at)
}

// newNode starts a node that lets everybody in. With a delay, messages of a connection are collected
// without a limit to their number, by timers: the setting the library recommends for high rates.
func newNode(delay time.Duration) (*centrifuge.Node, error) {
	node, err := centrifuge.New(centrifuge.Config{ClientQueueMaxSize: 16 << 20})
	if err != nil {
		return nil, err
	}
	node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		reply := centrifuge.ConnectReply{Credentials: &centrifuge.Credentials{}}
		if delay > 0 {
			reply.WriteDelay, reply.WriteWithTimer, reply.MaxMessagesInFrame = delay, true, -1
		}
		return reply, nil
	})
	node.OnConnect(func(c *centrifuge.Client) {
		c.OnSubscribe(func(_ centrifuge.SubscribeEvent, answer centrifuge.SubscribeCallback) {
			answer(centrifuge.SubscribeReply{}, nil)
		})
	})
	return node, node.Run()
}

// api is the part of Centrifugo's HTTP API that publishes.
type api struct{ node *centrifuge.Node }

type message struct {
	Channel string          `json:"channel"`
	Data    json.RawMessage `json:"data"`
}

type failure struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

type reply struct {
	Error   *failure  `json:"error,omitempty"`
	Publish *struct{} `json:"publish,omitempty"`
}

const bodyMost = 16 << 20 // bytes of a request

func read(w http.ResponseWriter, r *http.Request, into any) bool {
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, bodyMost)).Decode(into); err != nil {
		http.Error(w, "expected JSON: "+err.Error(), http.StatusBadRequest)
		return false
	}
	return true
}

func write(w http.ResponseWriter, answer any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // the connection is gone
}

func (a api) send(m message) *failure {
	if m.Channel == "" || len(m.Data) == 0 {
		return &failure{107, "bad request"}
	}
	if _, err := a.node.Publish(m.Channel, m.Data); err != nil {
		return &failure{100, err.Error()}
	}
	return nil
}

func (a api) publish(w http.ResponseWriter, r *http.Request) {
	var m message
	if !read(w, r, &m) {
		return
	}
	if bad := a.send(m); bad != nil {
		write(w, map[string]any{"error": bad})
		return
	}
	write(w, map[string]any{"result": struct{}{}})
}

func (a api) batch(w http.ResponseWriter, r *http.Request) {
	var b struct {
		Commands []struct {
			Publish message `json:"publish"`
		} `json:"commands"`
	}
	if !read(w, r, &b) {
		return
	}
	replies := make([]reply, len(b.Commands))
	for i, c := range b.Commands {
		if replies[i].Error = a.send(c.Publish); replies[i].Error == nil {
			replies[i].Publish = &struct{}{}
		}
	}
	write(w, map[string]any{"replies": replies})
}
