// Package hooks asks a backend about clients while they wait: who a client is (connect), whether it may follow a channel
// (subscribe), whether a publication may pass and as what (publish), and what the answer to a client's own question is (call).
//
// The entry point is [New], a relay.System. It identifies clients without a token (session.Connector), decides about namespaces
// with the access "webhook" (hub.Authorizer), about publications to them one by one (hub.Moderator), and carries out calls
// (native.Caller). Each question is a POST of JSON, signed by the Standard Webhooks specification like every webhook of the
// relay.
//
// The question connect has the cookies and headers of the client that the configuration names, and nothing else of it: the session of the
// backend works as it does with a request of its own. The answer is the client's identity. It is remembered for
// clients with the same cookies, asked for again before it expires, and sealed into a resume ticket with which the client may
// come back without a question.
//
// It fails closed: without an answer a client is not let in, and is asked to come back later. Earlier answers stay valid for
// Config.Connect.Stale.
//
// # When it is full
//
// At most Config.Parallel questions are under way. One more waits for its turn within the same timeout, and then fails.
// At most [maxRemembered] answers of each kind are kept. Beyond that, expired ones are dropped, and if these are few, any quarter.
//
// # Goroutines and locks
//
// A question is asked on the goroutine that waits for the answer: of a request, or beside the turn of a session. Clients with the
// same cookies share a question, as do questions about the same user and channel. renewals.run asks again about sessions; it and its
// questions end with Close, which waits for all that are under way. memory.mu, renewals.mu, tickets.mu and that of a breaker
// are leaves: no other lock is taken while one of them is held.
package hooks
