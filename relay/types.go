package relay

import "weir/relay/session"

// What systems speak to clients with, on routes of their own; see package session.
type (
	WebSocketRoute = session.WebSocketRoute
	DialectRoute   = session.DialectRoute
	Follow         = session.Follow
	Client         = session.Client
	Group          = session.Group
	GroupMessage   = session.GroupMessage
	EventStream    = session.EventStream
	SlowSession    = session.SlowSession
)
