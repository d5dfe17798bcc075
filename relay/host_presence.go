package relay

import (
	"weir/relay/auth"
	"weir/relay/hub"
)

// Attend has a user in a channel because their client says so; connection is "" if a backend does. It ends 60
// seconds after the last Attend or Seen, or with Absent, or 5 seconds after Departed. The user is there once,
// whatever else keeps them there, and only what is new about them is told.
func (c *Core) Attend(channel, connection string, id *auth.Identity, a hub.Attendance) error {
	alone := !c.relay.sessions.Present(connection, channel)
	return c.relay.hub.Presence.Attend(channel, connection, id, a, alone)
}

// Seen is a sign of life of a client that attends a channel; nobody is told. It answers false if it does not
// attend, or no longer.
func (c *Core) Seen(channel, connection, user string) bool {
	return c.relay.hub.Presence.Heartbeat(channel, connection, user)
}

// Absent ends an attendance because the client says so.
func (c *Core) Absent(channel, connection, user string) {
	c.relay.hub.Presence.Detach(channel, connection, user, false)
}

// Departed ends an attendance because the connection has ended: the user has a while to come back.
func (c *Core) Departed(channel, connection, user string) {
	c.relay.hub.Presence.Detach(channel, connection, user, true)
}
