package main

import (
	"fmt"
	"log/slog"
	"path/filepath"

	"weir/broker/disk"
	"weir/internal/mesh"
	"weir/internal/mesh/embed"
	"weir/internal/mesh/nats"
	"weir/relay/config"
)

// clusterOpener joins the cluster that the configuration describes. It implements mesh.Opener.
type clusterOpener struct {
	cluster config.Cluster
	log     *slog.Logger
}

// Open implements mesh.Opener. It starts the embedded server, if there is to be one, and ends it with the node.
func (o clusterOpener) Open(session string, h mesh.Handler) (mesh.Node, error) {
	c := o.cluster
	n := nats.Config{Name: c.Name, Servers: c.NATS, Replicas: c.Replicas, Log: o.log}
	if c.Embed.Listen == "" {
		n.Credentials, n.NKey, n.Cert, n.Key, n.CA = c.Credentials, c.NKey, c.TLS.Cert, c.TLS.Key, c.TLS.CA
		return nats.Opener{Config: n}.Open(session, h)
	}
	if err := apart(c.Embed.Data); err != nil {
		return nil, err
	}
	server, err := embed.Start(embed.Config{Cluster: c.Name, Node: c.Node, Listen: c.Embed.Listen, Routes: c.Embed.Routes, Password: c.Embed.Password,
		Cert: c.TLS.Cert, Key: c.TLS.Key, CA: c.TLS.CA, Data: filepath.Clean(c.Embed.Data), Sync: *c.Embed.Sync, Log: o.log})
	if err != nil {
		return nil, err
	}
	n.Options = server.Options()
	node, err := nats.Opener{Config: n}.Open(session, h)
	if err != nil {
		server.Stop()
		return nil, err
	}
	return embeddedNode{node, server}, nil
}

// apart returns an error if the directory of the embedded server is that of the durable channels of a single node. The server would not touch them,
// and weir would begin without them.
func apart(dir string) error {
	if !disk.Holds(dir) {
		return nil
	}
	return fmt.Errorf("cluster.embed.data: %s has the durable channels of a single node, which a cluster does not read: name another directory, and take them over with \"weir data export\" and \"weir cluster import\"", dir)
}

// embeddedNode is a node whose server ends with it.
type embeddedNode struct {
	mesh.Node
	server embed.Server
}

// Close implements mesh.Node.
func (n embeddedNode) Close() error {
	err := n.Node.Close()
	n.server.Stop()
	return err
}
