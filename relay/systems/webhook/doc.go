// Package webhook tells backends of events: each event of a topic that an endpoint wants is POSTed to it, signed
// as the Standard Webhooks specification says, until the endpoint has taken it.
//
// The entry point is [New], a relay.System; the endpoints are those of the configuration. [Verify] is the other
// side of [Sign], for receivers in Go.
//
// Delivery is at least once: an event may come again, with the same webhook-id, when an answer was lost or the
// relay was restarted. Events with the same key (a chat room, say) come one after the other in their order; those
// of other keys overtake. An attempt takes at most two seconds and follows no redirect; addresses are public and
// https unless the configuration allows others. Any 2xx is success. 400, 413, 415 and 422 refuse the event for
// good, 410 refuses all of them; anything else is tried again after a random time of up to twice as long as
// before, five minutes at most, for as long as "retry" says. Retry-After is honoured. Five failures in a row make
// the breaker stop all but one probe at a time, at intervals of one second to one minute.
//
// # When it is full
//
// An endpoint has room for so many events; what comes beyond goes to its dead letters at once, and what waits
// keeps its place. Dead letters, also of events that were refused or expired, are kept up to a number and the
// size of a channel; the oldest go first. They can be read in the channel "webhook:dead:{name}" and sent again
// with POST /v1/webhooks/{name}/replay, which also tries an endpoint again that has answered 410.
//
// # State
//
// What waits is in the channel "webhook:queue:{name}": with a durable namespace "webhook" it outlives a restart.
// An event is noted there before whoever emits it is answered, and removed when it is delivered or dead.
//
// # Goroutines and locks
//
// Attempts run on a pool of workers, at most 16 at once for an endpoint; a timer of each endpoint starts what is
// due later. Close stops the timers and waits for the workers, which its context ends. endpoint.mu guards
// everything that waits, shelf.mu the order of dead letters. Neither is held while something is sent, published or
// logged, and no two of them are held at once.
package webhook
