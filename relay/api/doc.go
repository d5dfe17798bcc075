// Package api is the public listener's HTTP routes: those of backends, of end users and of systems, the pages of
// development mode, and CORS.
//
// A [Server] is made with [New]. Core and systems register routes ([Server.User], [Server.Backend], [Server.Raw]) until
// [Server.Complete]; [Server.HTTP] is the HTTP server, and [Server.Serve] serves connections that package ingress hands on.
// Publishes in the usual form never come here: an event loop of package ingress handles them.
//
// # What it refuses
//
// Requests that can be read in two ways ([httpcheck.Request]), compressed bodies, host names that are not this machine's in
// development mode, backends without an API key, end users without a token or beyond limits.commands, and requests that
// a page elsewhere may have made. All refusals are problems by RFC 9457; see package problem.
//
// # Goroutines and locks
//
// Each connection that the HTTP server reads has a contained goroutine of session.Manager's workers, which ends with the
// connection. Routes are set before Complete and only read afterwards: there is no lock.
//
// # What happens when it is full
//
// Connections are bounded by package ingress before they come here, and bodies by limits.request. What the core cannot
// take is answered with 503 and Retry-After.
package api
