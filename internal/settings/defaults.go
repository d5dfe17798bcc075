package settings

import "weir/relay/config"

// DefaultNamespace holds the channels of no known namespace.
const DefaultNamespace = "default"

// Fill returns a copy of c in which every value that is not set has its default.
func Fill(c config.Config) config.Config { return c.WithDefaults() }
