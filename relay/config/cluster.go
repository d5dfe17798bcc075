package config

import (
	"net"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
)

// Cluster makes several processes one relay. It is on if servers are named, or an address for an embedded one.
type Cluster struct {
	Name        string   `yaml:"name"`                                    // "": weir; the same in all nodes: the prefix of subjects and buckets
	Node        string   `yaml:"node"`                                    // of this process, the same after a restart; the host's name
	NATS        []string `yaml:"nats"`                                    // addresses of servers, such as nats://n1:4222
	Embed       Embed    `yaml:"embed"`                                   // or a server within this process
	Partitions  int      `yaml:"partitions" default:"64" range:"1..4096"` // of all channels; the same in all nodes, for as long as the cluster lives
	Replicas    int      `yaml:"replicas" range:"0..5"`                   // servers that keep the table of owners; 0: 3, or 1 if fewer than 3 embedded ones are named
	Credentials string   `yaml:"credentials"`                             // file with a user's credentials for the servers
	NKey        string   `yaml:"nkey"`                                    // file with the seed of a key pair for them
	TLS         MeshTLS  `yaml:"tls"`                                     // of the connections to the servers, and of routes
	Insecure    bool     `yaml:"insecure"`                                // plain text to other than loopback; false
}

// Embed is a NATS server within the process.
type Embed struct {
	Listen string   `yaml:"listen"`              // address for the routes of the other servers. "": there is none
	Routes []string `yaml:"routes"`              // addresses of all servers; this one's own may be among them
	Data   string   `yaml:"data"`                // directory of what it keeps
	Sync   *bool    `yaml:"sync" default:"true"` // what it acknowledges is on disk

	Password string `yaml:"password"` // of the routes: a server without it is not let in; "": none is asked for
}

// MeshTLS names what the connections to servers are encrypted with.
type MeshTLS struct {
	Cert string `yaml:"cert"` // of this node, with its key; "": none is shown
	Key  string `yaml:"key"`
	CA   string `yaml:"ca"` // what the servers' certificates are signed with; "": what the system trusts
}

// On reports whether there is to be a cluster.
func (c *Cluster) On() bool { return len(c.NATS) > 0 || c.Embed.Listen != "" }

// fill puts the defaults that tags cannot say.
func (c *Cluster) fill() {
	if !c.On() {
		return
	}
	setDefault(&c.Name, "weir")
	if c.Node == "" {
		c.Node, _ = os.Hostname() // checks say what is wrong with it
	}
	if c.Replicas == 0 {
		c.Replicas = 3
		if c.Embed.Listen != "" && len(c.Embed.Routes) < 3 {
			c.Replicas = 1
		}
	}
}

// clusterName is what a cluster and a node may be called: subjects, buckets and files are named after them.
var clusterName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$`)

// cluster checks what makes several processes one.
func (k *Checks) cluster(c Config) {
	x := c.Cluster
	if !x.On() {
		return
	}
	for key, name := range map[string]string{"cluster.name": x.Name, "cluster.node": strings.ReplaceAll(x.Node, ".", "-")} {
		if !clusterName.MatchString(name) {
			k.Add(key, "%s is not a name: expected 1 to 63 letters, digits, _ and -", Quote(name))
		}
	}
	if len(x.NATS) > 0 && x.Embed.Listen != "" {
		k.Add("cluster.embed.listen", "expected either servers in cluster.nats or an embedded one, not both")
	}
	if x.Replicas == 2 || x.Replicas == 4 {
		k.Add("cluster.replicas", "%d servers survive no more failures than %d: expected 1, 3 or 5", x.Replicas, x.Replicas-1)
	}
	for i, server := range x.NATS {
		u, err := url.Parse(server)
		switch {
		case err != nil, u.Host == "", !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme):
			k.Add(Element("cluster.nats", i), "%s is not a server: expected nats://host:4222 or tls://host:4222", Quote(WithoutUser(server)))
		case (u.Scheme == "nats" || u.Scheme == "ws") && !LoopbackHost(u.Host) && !x.Insecure && x.TLS == (MeshTLS{}):
			k.Add(Element("cluster.nats", i), "%s would be reached in plain text: expected tls://, cluster.tls, or cluster.insecure: true in a network of your own", Quote(WithoutUser(server)))
		}
	}
	if x.Embed.Listen != "" {
		host, _, ok := k.address("cluster.embed.listen", x.Embed.Listen)
		if ok && !LoopbackHost(host) && !x.Insecure && x.TLS == (MeshTLS{}) {
			k.Add("cluster.embed.listen", "%s is open to everybody, in plain text: expected cluster.tls, a loopback address, or cluster.insecure: true in a network of your own", Quote(x.Embed.Listen))
		}
		if x.TLS != (MeshTLS{}) && (x.TLS.Cert == "" || x.TLS.Key == "" || x.TLS.CA == "") {
			k.Add("cluster.tls", "embedded servers check each other's certificates: expected cert, key and ca")
		}
		if x.Embed.Password != "" {
			k.secret("cluster.embed.password", []byte(x.Embed.Password), maxSecret)
		}
		if x.Credentials != "" || x.NKey != "" {
			k.Add("cluster", "credentials and nkey are for servers in cluster.nats: embedded ones have cluster.embed.password and cluster.tls")
		}
		if !slices.ContainsFunc(x.Embed.Routes, func(route string) bool { return route != x.Embed.Listen }) {
			k.Add("cluster.embed.routes", "expected the addresses of the other nodes' servers, too: a majority of all servers has to run")
		}
		for i, route := range x.Embed.Routes {
			if host, port, err := net.SplitHostPort(route); err != nil || host == "" || port == "" {
				k.Add(Element("cluster.embed.routes", i), "%s is not an address: expected host:port", Quote(route))
			}
		}
		if x.Embed.Data == "" {
			k.Add("cluster.embed.data", "the embedded server needs a directory of its own: set cluster.embed.data, or --cluster-data")
		}
	}
	if x.Embed.Listen == "" && (x.TLS.Cert == "") != (x.TLS.Key == "") {
		k.Add("cluster.tls", "expected both cert and key, or neither")
	}
	if c.Data != "" {
		k.Add("data", "a cluster does not use the data directory of a single node: its NATS servers keep durable channels. Remove data or cluster; weir data export and weir cluster import take channels over")
	}
	for i, name := range c.Systems {
		if s := slices.IndexFunc(c.Known, func(s System) bool { return s.Name == name }); s >= 0 && !c.Known[s].Distributed {
			k.Add(Element("systems", i), "%s does not run in a cluster yet: remove it, or remove cluster", Quote(name))
		}
	}
	for _, s := range c.Known {
		if s.On != nil && s.On(&c) && !s.Distributed {
			k.Add("cluster", "%s does not run in a cluster yet: remove it, or remove cluster", Quote(s.Name))
		}
	}
}
