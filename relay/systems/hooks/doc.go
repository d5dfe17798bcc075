// Package hooks asks a backend about clients while they wait: who they are (connect), whether they may follow a channel
// (subscribe), whether what they publish may pass and as what (publish), and what else they want to know (call).
//
// The entry point is [New], a relay.System. It identifies clients without a token (session.Connector), decides about namespaces
// with the access "webhook" (hub.Authorizer), about publications to them one by one (hub.Moderator), and carries out calls
// (native.Caller). Each question is a POST of JSON, signed by the Standard Webhooks specification like every webhook of the
// relay.
//
// With connect go the cookies and headers that the configuration names, and nothing else of the client's: the session of the
// backend works as it does with a request of its own. What the backend says is the client's identity. It is remembered for
// others with the same cookies, asked for again before it expires, and sealed into a resume ticket with which the client may
// come back without a question.
//
// It fails closed: without an answer a client is not let in, and is told to come back later. What was answered before goes on
// holding for Config.Connect.Stale.
//
// # When it is full
//
// At most Config.Parallel questions are under way. One more waits for its turn within the same timeout, and is then given up.
// At most [maxRemembered] answers of each kind are kept; then those that are over go, and if those are few, any quarter.
//
// # Goroutines and locks
//
// Questions are asked on the goroutines of those who wait for them: of a request, or beside the turn of a session. Those with the
// same cookies, and those about the same user and channel, share one. renewals.run asks again about sessions; it and its
// questions end with Close, which waits for all that are under way. memory.mu, renewals.mu, tickets.mu and that of a breaker
// are leaves, held while nothing else is done.
package hooks
