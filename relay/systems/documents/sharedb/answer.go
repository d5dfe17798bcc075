package sharedb

import (
	"bytes"
	"strconv"

	"weir/internal/wire"
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
	b = append(append(append(b, `{"a":"`...), action...), `","protocol":1,"protocolMinor":2,"id":`...)
	b = wire.AppendString(b, src)
	return append(b, `,"type":"`+defaultType+`"}`...)
}

// AppendNames appends the members that name a document, and the action.
func AppendNames(b []byte, action, collection, document string) []byte {
	b = append(append(append(b, `"a":"`...), action...), `","c":`...)
	b = wire.AppendString(b, collection)
	if document != "" {
		b = wire.AppendString(append(b, `,"d":`...), document)
	}
	return b
}

// AppendSnapshot appends a snapshot: content appends the text as JSON; nil: there is no such document.
func AppendSnapshot(b []byte, version uint64, content func([]byte) []byte) []byte {
	b = strconv.AppendUint(append(b, `{"v":`...), version, 10)
	if content == nil {
		return append(b, `,"type":null}`...)
	}
	b = content(append(b, `,"data":`...))
	return append(b, `,"type":"`+TextType+`"}`...)
}

// AppendError appends the answer that refuses a request: the request itself, with the error in it. It must be an
// object.
func AppendError(b, request []byte, code, message string) []byte {
	request = bytes.TrimRight(request, " \t\r\n")
	request = bytes.TrimRight(request[:len(request)-1], " \t\r\n")
	b = append(b, request...)
	if request[len(request)-1] != '{' {
		b = append(b, ',')
	}
	b = append(append(b, `"error":`...), '{')
	b = wire.AppendString(append(b, `"code":`...), code)
	b = wire.AppendString(append(b, `,"message":`...), message)
	return append(b, '}', '}')
}
