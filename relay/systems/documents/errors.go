package documents

import (
	"errors"

	"weir/relay/problem"
	"weir/relay/systems/documents/message"
	"weir/relay/systems/documents/text"
)

// The errors that clients and backends get. Their codes are part of the protocol.
var (
	errID         = problem.New(400, "bad_document", "a document's id must be 1 to 200 of A-Z a-z 0-9 _ - . : / @ ~ =", false)
	errKind       = problem.New(409, "wrong_kind", "the document has another kind: edit it over the protocol that created it", false)
	errNone       = problem.New(404, "not_found", "no such document", false)
	errGone       = problem.New(410, "version_gone", "the operations of that version are not kept any more", false)
	errStale      = problem.New(409, "resync", "the operations since the base version are not kept any more: start again from the text", false)
	errAhead      = problem.New(400, "bad_version", "the document has no such version yet", false)
	errUnanswered = problem.New(409, "unanswered", "an earlier operation of the same src is not in the version that this one is based on: wait for its answer first", false)
	errLarge      = problem.New(413, "document_too_large", "the document would exceed documents.size", false)
	errOverloaded = problem.New(503, "overloaded", "the document is overloaded: too much is waiting to be sent or stored", true)
	errOpen       = problem.New(503, "overloaded", "limit reached: documents.open", true)
	errRead       = problem.New(403, "forbidden", "not allowed to read this document", false)
	errWrite      = problem.New(403, "forbidden", "not allowed to change this document", false)
	errInternal   = problem.New(500, "internal", "internal error", true)
	errMaybe      = problem.New(503, "unavailable", "another node has taken the document over: the request may have been carried out", true)
	errFollow     = problem.New(429, "too_many", "limit reached: limits.subscriptions", false)
	errSnapshot   = problem.New(409, "snapshot_needed", "too many updates since the last snapshot: upload a snapshot first", true)
	errUploaded   = problem.New(409, "snapshot_exists", "a snapshot of this or a later version exists already", false)
	errCursors    = problem.New(429, "too_many_cursors", "limit reached: documents.cursors", true)
)

// What is wrong with a request.
var (
	errMessageType = problem.New(400, "unknown_type", "unknown message type", false)
	errSrc         = message.Bad("src must be 1 to 128 of A-Z a-z 0-9 _ - . : / @ ~ =")
	errNoOperation = message.Bad("operation is missing")
)

// clientError is an error as clients get it.
func clientError(err error) error {
	if errors.Is(err, text.ErrOp) || errors.Is(err, text.ErrRange) {
		return problem.New(400, "bad_operation", err.Error(), false)
	}
	return err
}
