// Command gws is what one writes with the gws library in an afternoon: a set of sockets for each channel,
// and a Broadcaster that writes every message to each of them. Clients connect to /sub?id=CHANNEL;
// messages come with POST /pub?id=CHANNEL, or from the clients themselves. At /echo clients get back what they
// say. Everybody may do everything, so it listens on loopback only.
package main

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	_ "net/http/pprof" // weir bench asks for a garbage collection before it reads the memory
	"os"
	"sync"

	"github.com/lxzan/gws"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: gws ADDRESS")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

var errNotLoopback = errors.New("expected an address of this machine alone, such as 127.0.0.1:8000")

// run serves until the process is ended.
func run(address string) error {
	at, err := net.ResolveTCPAddr("tcp", address)
	if err != nil || !at.IP.IsLoopback() {
		return fmt.Errorf("listen %s: %w", address, errNotLoopback)
	}
	l, err := net.ListenTCP("tcp", at)
	if err != nil {
		return err
	}
	h := &hub{channels: map[string]map[*gws.Conn]struct{}{}}
	up := gws.NewUpgrader(h, &gws.ServerOption{})
	mux := http.NewServeMux()
	mux.Handle("/debug/pprof/", http.DefaultServeMux)
	mux.HandleFunc("GET /sub", func(w http.ResponseWriter, r *http.Request) {
		socket, err := up.Upgrade(w, r)
		if err != nil {
			return // the library has answered
		}
		h.join(r.URL.Query().Get("id"), socket)
		go socket.ReadLoop() // until the socket closes; nobody waits for it
	})
	echoes := gws.NewUpgrader(echo{}, &gws.ServerOption{})
	mux.HandleFunc("GET /echo", func(w http.ResponseWriter, r *http.Request) {
		if socket, err := echoes.Upgrade(w, r); err == nil { // else the library has answered
			go socket.ReadLoop() // likewise
		}
	})
	mux.HandleFunc("POST /pub", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		h.broadcast(r.URL.Query().Get("id"), body)
	})
	return http.Serve(l, mux)
}

// hub is the sockets of each channel, and the handler of all of them.
type hub struct {
	gws.BuiltinEventHandler

	mu       sync.RWMutex
	channels map[string]map[*gws.Conn]struct{} // Guarded by mu
}

func (h *hub) join(channel string, socket *gws.Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	socket.Session().Store("channel", channel)
	if h.channels[channel] == nil {
		h.channels[channel] = map[*gws.Conn]struct{}{}
	}
	h.channels[channel][socket] = struct{}{}
}

// broadcast queues a message at every socket of the channel. The lock is held throughout so that all of
// them get the messages in the same order.
func (h *hub) broadcast(channel string, message []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := gws.NewBroadcaster(gws.OpcodeText, message)
	defer b.Close()
	for socket := range h.channels[channel] {
		_ = b.Broadcast(socket) // OnClose hears of it
	}
}

// OnMessage broadcasts what a client sent.
func (h *hub) OnMessage(socket *gws.Conn, message *gws.Message) {
	defer message.Close()
	if channel, ok := socket.Session().Load("channel"); ok {
		h.broadcast(channel.(string), message.Bytes())
	}
}

// OnPing sends the pong.
func (h *hub) OnPing(socket *gws.Conn, payload []byte) { _ = socket.WritePong(payload) }

// OnClose forgets the socket.
func (h *hub) OnClose(socket *gws.Conn, _ error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	channel, ok := socket.Session().Load("channel")
	if !ok {
		return
	}
	name := channel.(string)
	delete(h.channels[name], socket)
	if len(h.channels[name]) == 0 {
		delete(h.channels, name)
	}
}

// echo sends every message back.
type echo struct{ gws.BuiltinEventHandler }

// OnMessage sends a message back.
func (echo) OnMessage(socket *gws.Conn, message *gws.Message) {
	defer message.Close()
	_ = socket.WriteMessage(message.Opcode, message.Bytes()) // a socket that is gone ends its ReadLoop
}
