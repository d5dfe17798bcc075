// Package sharedb is the wire protocol of ShareDB (version 1.2) as JSON messages: requests are read with [Parse],
// answers are appended. It knows the type text-unicode only, holds no state and does no I/O.
//
// It refuses, with [ErrForm], requests whose members have the wrong form. Names of collections and documents are
// checked by the caller.
package sharedb
