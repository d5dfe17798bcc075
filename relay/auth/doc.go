// Package auth decides who a client or a backend is and what it may do.
//
// # Clients
//
// A [Verifier] turns a JSON Web Token into an [Identity]: HS256, RS256, ES256 and EdDSA, each key
// pinned to one algorithm. What a token must and may claim:
//
//	sub       required: 1 to 128 bytes of printable characters
//	exp       required: seconds since 1970
//	nbf       refused while it lies in the future
//	iss, aud  must match when the configuration names an issuer or an audience
//	name      at most 256 bytes, no control characters
//	avatar    at most 2048 bytes, no control characters
//	roles     at most 64 strings of at most 128 bytes
//	channels  at most 64 grants, either {"room:*": ["subscribe", "publish"]}
//	          or [{"pattern": "room:*", "ops": ["subscribe"]}]
//
// Names are compared exactly, a claim given twice is refused, null counts as absent, and claims not
// listed here are ignored. Patterns are what [MatchPattern] says; "{user}" in one stands for sub.
//
// Refused before any signature is looked at: tokens over 8 KiB, `none` and every other algorithm, an
// algorithm that is not that of the key, unknown and odd key ids, headers that bring or point at a key
// (jku, x5u, jwk, x5c), critical extensions, and types other than JWT and at+jwt. Claims are not read
// before the signature is found good. RSA keys under 2048 bits, curves other than P-256 and
// secrets under 32 bytes are refused when configured. Every refusal is an [Error] with a [Reason]; no
// error holds any part of a token or secret.
//
// Keys come from the configuration and from a JWKS URL. The key set is fetched in the background when
// a Verifier starts, at an interval, and at once for an unknown key id (three times in a row, then once
// in 10 s); while fetching fails the last good set stays in use. Verify itself never waits for the
// network: until a fetch has ended it refuses tokens of unknown keys with [Error.Retry] set, which
// calls for "try again", not for "unauthorised". [Verifier.VerifyWaiting] waits for that fetch, for up
// to 3 s; [Verifier.WaitKeys] is for waiting at the start.
//
// [Mint] makes tokens for development. [Tickets] are one-use stand-ins for an Identity that live 30 s,
// for places where a token must not be seen, such as a URL; when too many are outstanding Issue fails.
//
// # Backends
//
// [Keys] holds the named API keys of backends.
//
// # Concurrency
//
// Everything here is safe for concurrent use, and an Identity is never written after it was made.
// Verifier and Keys read what is in force through one atomic pointer; Reload replaces it. A Verifier
// with a JWKS URL owns one goroutine, which Close and a Reload that drops the URL stop and wait for.
// Tickets have one mutex and no goroutine. Locks are never nested.
package auth
