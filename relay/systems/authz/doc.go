// Package authz asks a backend who may do what in namespaces with the access "webhook".
//
// The entry point is [Module], whose system is a relay.System and a hub.Authorizer. A question is a POST to Config.Auth.Webhook.URL,
// signed by the Standard Webhooks specification like every webhook of the relay:
//
//	{"op":"subscribe","channel":"room:42","userId":"u1","name":"Ann","roles":["editor"]}
//
// The answer is a status of 200 with {"allow":true,"ttl":60}, where ttl is how long it holds, in seconds. It is cached
// for the user, their roles, the operation and the channel, so that a busy channel does not become a busy backend.
// POST /v1/unsubscribe and /v1/disconnect drop what is cached, on all nodes of a cluster: each asks about its own clients.
//
// It fails closed: with no answer in time, another status or another body, the client gets "unavailable", which it
// may try again, and nothing is cached.
//
// # When it is full
//
// At most [maxRequests] requests are under way; one more waits for its turn within the same timeout. At most
// [maxCached] answers are kept; then the expired ones go, and if those are few, any quarter.
//
// # Goroutines and locks
//
// Authorize waits on the goroutine of its caller: the relay calls it beside the turns of sessions. Callers with the
// same question at the same time share one request. If the access is revoked meanwhile, all of them are denied, and
// a later caller asks anew. There are no goroutines but those of requests, which end with their timeout; Close waits
// for them. cache.mu guards the cache and is held while nothing else is done.
package authz
