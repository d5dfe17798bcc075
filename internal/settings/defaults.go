package settings

import "weir/relay"

// DefaultNamespace holds the channels of no known namespace.
const DefaultNamespace = "default"

// Fill returns a copy of c in which every value that is not set has its default.
func Fill(c relay.Config) relay.Config { return c.WithDefaults() }
