package auth

import "errors"

// Reason says in one word why a token was refused. The set is fixed, so that it can label a metric. A
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
	ReasonNotYet    Reason = "not_yet"   // nbf or iat is still to come
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
	// Retry: the key set has never been fetched, so the token cannot be judged. The same token may
	// pass in a moment: answer 503 and not 401.
	Retry bool
}

func (e *Error) Error() string {
	if e.Detail == "" {
		return "verify token: " + string(e.Reason)
	}
	return "verify token: " + string(e.Reason) + ": " + e.Detail
}

// Unwrap returns the Reason.
func (e *Error) Unwrap() error { return e.Reason }

// ReasonOf returns the reason in err, and "" when there is none.
func ReasonOf(err error) Reason {
	r, _ := errors.AsType[Reason](err)
	return r
}

func refuse(r Reason, detail string) error { return &Error{Reason: r, Detail: detail} }
