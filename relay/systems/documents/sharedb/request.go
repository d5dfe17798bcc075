package sharedb

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"weir/internal/wire"
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

// MaxBulk bounds the documents of one bulk request.
const MaxBulk = 128

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
	errTooMany = fmt.Errorf("has more than %d documents", MaxBulk)
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
		if len(r.Bulk) == MaxBulk {
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
