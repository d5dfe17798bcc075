package documents

import (
	"errors"

	"weir/relay/problem"
	"weir/relay/systems/documents/text"
)

// What clients and backends are told. Their codes are part of the protocol.
var (
	errID         = problem.New(400, "bad_document", "a document's id must be 1 to 200 of A-Z a-z 0-9 _ - . : / @ ~ =", false)
	errKind       = problem.New(409, "wrong_kind", "the document is of another kind: each is edited over the protocol that it was begun with", false)
	errNone       = problem.New(404, "not_found", "there is no such document", false)
	errGone       = problem.New(410, "version_gone", "that version is older than the operations that are kept", false)
	errStale      = problem.New(409, "resync", "the operation is based on a version older than those that are kept: start again from the text", false)
	errAhead      = problem.New(400, "bad_version", "the document has no such version yet", false)
	errUnanswered = problem.New(409, "unanswered", "an earlier operation of the same src was not in the version that this one is based on: wait for its answer first", false)
	errSplit      = problem.New(400, "bad_operation", "bad operation: what was changed meanwhile splits it into too many components", false)
	errLarge      = problem.New(413, "document_too_large", "the document would grow beyond what is allowed", false)
	errOverloaded = problem.New(503, "overloaded", "the document has more to tell than its readers can take", true)
	errOpen       = problem.New(503, "overloaded", "as many documents as are allowed are open already", true)
	errUnsafe     = problem.New(503, "overloaded", "the disk has not taken the document's last operations yet", true)
	errRead       = problem.New(403, "forbidden", "not allowed to read this document", false)
	errWrite      = problem.New(403, "forbidden", "not allowed to change this document", false)
	errInternal   = problem.New(500, "internal", "internal error", true)
	errFollow     = problem.New(429, "too_many", "as many documents as are allowed are followed already", false)
	errSnapshot   = problem.New(409, "snapshot_needed", "too many updates lie behind the last snapshot: upload one first", true)
	errUploaded   = problem.New(409, "snapshot_exists", "there is a snapshot of this version, or a later one", false)
	errCursors    = problem.New(429, "too_many_cursors", "the document has as many cursors as are allowed", true)
)

// What is wrong with a request.
var (
	errMessageType = problem.New(400, "unknown_type", "unknown message type", false)
	errSrc         = badRequest("src must be 1 to 128 of A-Z a-z 0-9 _ - . : / @ ~ =")
	errNoOperation = badRequest("operation is missing")
)

// badRequest says which field is wrong.
func badRequest(message string) error { return problem.New(400, "bad_request", message, false) }

// told is an error of an operation as clients are told it.
func told(err error) error {
	if errors.Is(err, text.ErrOp) || errors.Is(err, text.ErrRange) {
		return problem.New(400, "bad_operation", err.Error(), false)
	}
	return err
}
