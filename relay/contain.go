package relay

import (
	"weir/internal/contain"
)

// A panic costs the request, the connection, the batch or the tick that it came over, and never the process: see package
// contain. All of them end here.

// Contain is the relay's hook: what a system starts is started with it.
func (c *Core) Contain() contain.Hook { return c.relay.hub.Contain }
