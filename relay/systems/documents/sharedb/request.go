package sharedb

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"weir/internal/wire"
	"weir/relay/systems/documents/text"
	"weir/relay/systems/internal/encode"
)

// Actions of requests and answers.
const (
	Handshake     = "hs"
	Fetch         = "f"
	BulkFetch     = "bf"
	Subscribe     = "s"
	BulkSubscribe = "bs"
	Unsubscribe   = "u"
	BulkUnsub     = "bu"
	Op            = "op"
	SnapshotFetch = "nf"
	Ping          = "pp"
	Init          = "init"
)

// maxBulk bounds the documents of one bulk request.
const maxBulk = 128

// ErrForm is returned for requests of the wrong form. It comes wrapped with what is wrong.
var ErrForm = errors.New("invalid message")

// Request is what a client asks. Strings are copies, values as they stand are not.
type Request struct {
	Action     string
	ID         []byte // as it stands
	Collection string
	Document   string
	Version    *uint64 // nil: none
	Src        string
	Seq        []byte // a whole number as it stands; nil: none
	Op         []byte // as it stands; nil: none
	Create     bool
	Type, Data []byte // of Create, as they stand
	Bulk       []Known
	Names      []byte // Bulk as it stands
	Versions   bool   // Bulk came with versions
}

// Known is a document of a bulk request, and the version that the client has of it; nil: none.
type Known struct {
	Document string
	Version  *uint64
}

// Keeps reports whether a client goes on with what it has asked for when its connection is made anew, and only then if it was answered an error: operations and subscriptions.
func (r *Request) Keeps() bool {
	return r.Action == Op || r.Action == Subscribe || r.Action == BulkSubscribe
}

// Parse reads a request. Errors: ErrForm; Action may be set then.
func Parse(b []byte) (r Request, err error) {
	var bad error
	err = wire.Members(b, func(key string, v []byte) error {
		if e := r.member(key, v); e != nil && bad == nil {
			bad = fmt.Errorf("%w: %s %s", ErrForm, strings.Clone(key), e.Error())
		}
		return nil
	})
	if err != nil {
		return r, fmt.Errorf("%w: not a JSON object", ErrForm)
	}
	return r, bad
}

var (
	errString  = errors.New("must be a string")
	errNumber  = errors.New("must be a whole number")
	errObject  = errors.New("must be an object")
	errDocs    = errors.New("must be a list of names, or an object of versions")
	errTooMany = fmt.Errorf("has more than %d documents", maxBulk)
)

func (r *Request) member(key string, v []byte) (err error) {
	null := string(v) == "null" // as if it were not there
	switch {
	case key == "a":
		r.Action, err = stringOf(v)
	case key == "v":
		r.Version, err = versionOf(v)
	case key == "op":
		r.Op = v
	case key == "create":
		err = r.create(v)
	case key == "b":
		r.Names = v
		err = r.bulk(v)
	case null:
	case key == "id":
		r.ID = v
	case key == "c":
		r.Collection, err = stringOf(v)
	case key == "d":
		r.Document, err = stringOf(v)
	case key == "src":
		r.Src, err = stringOf(v)
	case key == "seq":
		if _, err = strconv.ParseUint(string(v), 10, 53); err != nil {
			return errNumber
		}
		r.Seq = v
	}
	return err
}

func (r *Request) create(v []byte) error {
	r.Create = true
	err := wire.Members(v, func(key string, v []byte) error {
		switch key {
		case "type":
			r.Type = v
		case "data":
			r.Data = v
		}
		return nil
	})
	if err != nil {
		return errObject
	}
	return nil
}

func (r *Request) bulk(v []byte) error {
	add := func(name string, version *uint64) error {
		if len(r.Bulk) == maxBulk {
			return errTooMany
		}
		r.Bulk = append(r.Bulk, Known{strings.Clone(name), version})
		return nil
	}
	var err error
	if v[0] == '{' {
		r.Versions = true
		err = wire.Members(v, func(key string, v []byte) error {
			version, err := versionOf(v)
			if err != nil {
				return err
			}
			return add(key, version)
		})
	} else {
		err = wire.Elements(v, func(v []byte) error {
			name, err := stringOf(v)
			if err != nil {
				return err
			}
			return add(name, nil)
		})
	}
	if errors.Is(err, errTooMany) {
		return err
	}
	if err != nil {
		return errDocs
	}
	return nil
}

// AppendBulk appends the documents of a bulk request as they stand in one.
func AppendBulk(b []byte, list []Known, versions bool) []byte {
	if !versions {
		return encode.List(b, list, func(b []byte, k Known) []byte { return text.AppendString(b, k.Document) })
	}
	b = append(b, '{')
	for i, k := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(text.AppendString(b, k.Document), ':')
		if k.Version == nil {
			b = append(b, "null"...)
		} else {
			b = strconv.AppendUint(b, *k.Version, 10)
		}
	}
	return append(b, '}')
}

func stringOf(v []byte) (string, error) {
	s, err := wire.Text(v)
	if err != nil {
		return "", errString
	}
	return strings.Clone(s), nil
}

func versionOf(v []byte) (*uint64, error) {
	if string(v) == "null" {
		return nil, nil //nolint:nilnil // none
	}
	n, err := strconv.ParseUint(string(v), 10, 53)
	if err != nil {
		return nil, errNumber
	}
	return &n, nil
}

// IsText reports whether a type, as it stands in a request, is text-unicode.
func IsText(raw []byte) bool {
	s, err := wire.Text(raw)
	return err == nil && (s == TextType || s == "text-unicode")
}

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
