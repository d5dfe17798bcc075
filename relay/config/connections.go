package config

import (
	"math"

	"weir/internal/process"
)

// spareDescriptors are kept for listeners, logs, profiles and connections to others.
const spareDescriptors = 64

// What bounds the connections, as metrics name it: the configuration, or the descriptors of the process.
const (
	byConfiguration = "connections"
	ByDescriptors   = "descriptors"
)

// ConnectionLimit is how many connections there may be in all, and what says so.
func (c *Config) ConnectionLimit() (limit int, bound string) {
	limit, bound = c.Limit.Connections, byConfiguration
	if files, known := process.DescriptorLimit(); known {
		most := max(files-spareDescriptors, 1)
		if limit == 0 || limit > most {
			limit, bound = most, ByDescriptors
		}
	}
	if limit == 0 {
		limit = math.MaxInt32
	}
	return limit, bound
}
