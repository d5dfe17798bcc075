//go:build noembed

package embed

import "errors"

// Start returns an error: there is no server in this binary.
func Start(Config) (Server, error) {
	return nil, errors.New("this binary was built without the embedded NATS server (noembed): name servers in cluster.nats")
}
