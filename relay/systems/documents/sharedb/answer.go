package sharedb

import (
	"bytes"

	"weir/relay/systems/internal/encode"
)

// The types that are named on the wire.
const (
	TextType    = "http://sharejs.org/types/text-unicode"
	defaultType = "http://sharejs.org/types/JSONv0"
)

// Codes of errors that ShareDB's clients know.
const (
	CodeForm       = "ERR_MESSAGE_BADLY_FORMED"
	CodeExists     = "ERR_DOC_ALREADY_CREATED"
	CodeMissing    = "ERR_DOC_DOES_NOT_EXIST"
	CodeType       = "ERR_DOC_TYPE_NOT_RECOGNIZED"
	CodeBadOp      = "ERR_OT_OP_BADLY_FORMED"
	CodeNotApplied = "ERR_OT_OP_NOT_APPLIED"
	CodeNewer      = "ERR_OP_VERSION_NEWER_THAN_CURRENT_SNAPSHOT"
	CodeOpsGone    = "ERR_SUBMIT_TRANSFORM_OPS_NOT_FOUND"
	CodeReadOnly   = "ERR_OP_SUBMIT_REJECTED"
	CodeUnread     = "ERR_SNAPSHOT_READS_REJECTED"
	CodeUnknown    = "ERR_UNKNOWN_ERROR"
)

// AppendHello appends the answer to a handshake, or the message that a connection begins with.
func AppendHello(b []byte, action, src string) []byte {
	return append(encode.Members(append(b, '{'), "a", action, "protocol", 1, "protocolMinor", 2, "id", src, "type", defaultType), '}')
}

// AppendNames appends the members that name a document, and the action.
func AppendNames(b []byte, action, collection, document string) []byte {
	return encode.Members(b, "a", action, "c", collection, "d", encode.Maybe(document))
}

// AppendSnapshot appends a snapshot: content appends the text as JSON; nil: there is no such document.
func AppendSnapshot(b []byte, version uint64, content func([]byte) []byte) []byte {
	b = encode.Members(append(b, '{'), "v", version)
	if content == nil {
		return append(b, `,"type":null}`...)
	}
	return append(encode.Members(b, "data", content, "type", TextType), '}')
}

// AppendError appends the answer that refuses a request: the request itself, with the error in it. It must be an
// object.
func AppendError(b, request []byte, code, message string) []byte {
	request = bytes.TrimRight(request, " \t\r\n")
	b = append(b, bytes.TrimRight(request[:len(request)-1], " \t\r\n")...)
	return append(encode.Members(b, "error", encode.Object("code", code, "message", message)), '}')
}
