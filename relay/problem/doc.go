// Package problem is an error as clients and backends see it: an HTTP status, a stable code, a message, and whether the
// same request may succeed later.
//
// It alone maps errors to what is told outside: [Of] turns any error into an [Error], and what it does not know is
// [Internal], whose text is logged and never sent. An Error is written as the error message of the native protocol
// ([Error.AppendError]) or as a problem of RFC 9457 ([Error.AppendProblem]). Nothing here has state.
package problem
