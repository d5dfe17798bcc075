// Package webhook sends events to backends: each event of a topic that an endpoint wants is POSTed to it, signed as the
// Standard Webhooks specification says, until the endpoint has accepted it.
//
// The entry point is [New], a relay.System; the endpoints are those of the configuration. Package sign has
// the receiver's side, for receivers in Go.
//
// Delivery is at least once: an event may come again, with the same webhook-id, when a response was lost or the relay was
// restarted. Events with the same key (a chat room, say) come one after the other in their order; those of other keys
// overtake. A request takes at most two seconds and follows no redirect; addresses are public and https unless the
// configuration allows others. Any 2xx is success. 400, 413, 415 and 422 refuse the event for good, 410 refuses all of
// them. After anything else the event is tried again, after a random time of up to twice as long as before, five minutes
// at most, for as long as "retry" says. Retry-After is honoured. Five failures in a row open the breaker: then there is
// one probe at a time, at intervals of one second to one minute.
//
// # When it is full
//
// An endpoint has room for so many events; what comes beyond becomes a dead letter at once, and what waits keeps its
// place. Dead letters, also of events that were refused or expired, are kept up to a number and the size of a channel;
// the oldest go first. They can be read in the channel "webhook:dead:{name}" and sent again with POST
// /v1/webhooks/{name}/replay, which also tries an endpoint again that has responded with 410.
//
// # State
//
// What waits is in the channel "webhook:queue:{name}": with a durable namespace "webhook" it outlives a restart. An event
// is stored there before its emitter gets a response, and removed when it is delivered or dead.
//
// # Goroutines and locks
//
// Package retryqueue runs the requests, at most 16 at once for an endpoint; Close waits for them. endpoint.mu guards the
// breaker and is taken inside the queue's lock; store.mu guards the order of dead letters. Neither is held while
// something is sent, published or logged.
package webhook
