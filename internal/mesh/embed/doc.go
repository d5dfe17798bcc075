// Package embed runs a NATS server within the process, for a cluster without servers of its own. With the build tag noembed it
// is left out, and Start says so.
//
// Routes listen for the other servers, which are let in by a password and by their certificates, if there are to be any. Clients come from within the process alone: nobody
// else knows their password. The goroutines are the server's; Stop ends them.
package embed

import (
	"log/slog"

	client "github.com/nats-io/nats.go"
)

// Config is what a server is started with.
type Config struct {
	Cluster string   // name of the cluster
	Node    string   // name of this server in it
	Listen  string   // address for the routes of the others, host:port
	Routes  []string // addresses of the servers, host:port; this one's own may be among them
	Data    string   // directory of JetStream

	Password string // that servers of the cluster show each other; "": none is asked for
	Cert     string // file of this server's certificate, for those who connect and where it connects; "": routes are plain text
	Key      string // file of its key
	CA       string // file of what the certificates of all servers are signed with: nobody else is let in

	Sync bool // what is acknowledged is on disk
	Log  *slog.Logger
}

// Server is a server that runs.
type Server interface {
	// Options have a client connect to the server within the process.
	Options() []client.Option

	// Stop ends the server, and waits for that.
	Stop()
}
