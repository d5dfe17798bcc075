package auth

import "errors"

// Reason is why a token was refused, in one word. The set is fixed, so that it can label a metric. A
// Reason is an error, for errors.Is(err, auth.ReasonExpired).
type Reason string

// The reasons.
const (
	ReasonMissing   Reason = "missing"   // no token
	ReasonMalformed Reason = "malformed" // not a compact JWT, too long, bad base64 or JSON, a header that must be refused
	ReasonAlgorithm Reason = "algorithm" // not one of ours, or not that of the key
	ReasonKey       Reason = "key"       // no such key, or the token brings its own
	ReasonSignature Reason = "signature" // does not match
	ReasonExpired   Reason = "expired"   // exp has passed
	ReasonNotYet    Reason = "not_yet"   // nbf is still to come
	ReasonIssuer    Reason = "issuer"    // iss is not the configured one
	ReasonAudience  Reason = "audience"  // aud does not hold the configured one
	ReasonClaims    Reason = "claims"    // a claim is missing, of the wrong type, too long, given twice or not understood
)

// Reasons lists all reasons in the order a token meets them.
func Reasons() []Reason {
	return []Reason{
		ReasonMissing, ReasonMalformed, ReasonAlgorithm, ReasonKey, ReasonSignature,
		ReasonExpired, ReasonNotYet, ReasonIssuer, ReasonAudience, ReasonClaims,
	}
}

// Error returns the word itself, so that a Reason prints the same everywhere. It makes a Reason usable as
// a target of errors.Is.
func (r Reason) Error() string { return string(r) }

// Error is what Verify returns. Its text is made of fixed phrases: no part of a token is in it.
type Error struct {
	Reason Reason
	Detail string // for logs; fixed text, may be ""
	// Retry: the key set has never been fetched, or is being fetched because the token names a key that it has not, so
	// that the token cannot be judged. It may pass in a moment: answer 503 and not 401.
	Retry bool
}

func (e *Error) Error() string {
	if e.Detail == "" {
		return "verify token: " + string(e.Reason)
	}
	return "verify token: " + string(e.Reason) + ": " + e.Detail
}

// Explain returns, for people, what is wrong and what is wanted.
func (e *Error) Explain() string {
	if e.Detail == "" {
		return hints[e.Reason]
	}
	return e.Detail + "; " + hints[e.Reason]
}

// hints say what is wanted instead, by reason.
var hints = map[Reason]string{
	ReasonMissing:   "there is no token: send it in the header Authorization, after the word Bearer, or in a browser as the subprotocol token.TOKEN",
	ReasonMalformed: "expected a signed JSON Web Token of three parts in base64url",
	ReasonAlgorithm: "expected HS256, RS256, ES256 or EdDSA, the one that the key is configured with",
	ReasonKey:       "expected the kid of a key in auth.keys or the key set, or none if the key has no id",
	ReasonSignature: "the signature does not match: the token was signed with another key than the one in auth.keys, or was changed",
	ReasonExpired:   "exp has passed: it is in seconds since 1970, and the clocks of the backend and the relay must agree",
	ReasonNotYet:    "the token is not valid yet: nbf is in seconds since 1970, and the clocks of the backend and the relay must agree",
	ReasonIssuer:    "iss is not the value of auth.issuer",
	ReasonAudience:  "aud does not contain the value of auth.audience",
	ReasonClaims:    "expected sub, a string, and exp, a number of seconds since 1970; the others are optional",
}

// Unwrap returns the Reason.
func (e *Error) Unwrap() error { return e.Reason }

// ReasonOf returns the reason in err, and "" when there is none.
func ReasonOf(err error) Reason {
	r, _ := errors.AsType[Reason](err)
	return r
}

func refuse(r Reason, detail string) error { return &Error{Reason: r, Detail: detail} }
