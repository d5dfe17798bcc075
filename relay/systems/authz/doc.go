// Package authz asks a backend who may do what in namespaces with the access "webhook".
//
//	relay.New(cfg, log, permit.New())
//
// A question is a POST to Config.Auth.Webhook.URL, signed by the Standard Webhooks specification like every
// webhook of the relay:
//
//	{"op":"subscribe","channel":"room:42","userId":"u1","name":"Ann","roles":["editor"]}
//
// The answer is a status of 200 with {"allow":true,"ttl":60}, where ttl, in seconds, says how long it holds. It
// is remembered for the user, their roles, the operation and the channel, so that a busy channel does not become
// a busy backend; POST /v1/unsubscribe and /v1/disconnect make that it is asked anew.
//
// It fails closed: with no answer in time, another status or a body that is not the above, the client is told
// "unavailable", which it may try again, and nothing is remembered.
//
// # Who waits, and what happens when it is full
//
// Decide waits on the goroutine of its caller: the relay calls it beside the turns of sessions. The same question by
// many at once is asked once; when access is taken away meanwhile, it is answered as denied, and nobody who comes later
// shares it. At most [atOnce] questions are under way; one more waits for its turn
// within the same timeout. At most [remembered] answers are kept; then those that have run out go, and if there
// are none, any quarter.
//
// There are no goroutines of its own but those of questions under way, which end with their timeout; Close waits
// for them.
package authz
