// Package admin is the admin listener: metrics, health, profiles, the dashboard with an hour of its own figures, the API
// of backends, and routes of systems.
//
// A [Server] is made with [New]; systems add routes with [Server.Handle] until [Server.Complete]; [Server.Serve] serves
// and [Server.Close] ends it. [Server.Record] fills the dashboard's hour; [Readings] are what systems read figures with.
//
// # What it refuses
//
// Requests that a page elsewhere has made, other host names than loopback's if it listens on loopback, and, with
// admin_token, everything but the health of the relay without that token. Bodies are bounded by limits.request.
//
// # Goroutines and locks
//
// Each connection has a contained goroutine, counted by Server.served; Close closes the connections and waits for it.
// Server.mu guards the set of open connections; recorder.mu guards the hour, which Record's goroutine writes and requests
// read. Both are leaves.
//
// # What happens when it is full
//
// The recorder keeps 3600 rows and overwrites the oldest. A listing names at most 200 followers.
package admin
