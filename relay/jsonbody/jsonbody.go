package jsonbody

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"

	"github.com/bytedance/sonic"
	"github.com/valyala/fasthttp"

	"weir/internal/wire"
	"weir/relay/problem"
)

// bodies reads JSON as it is meant: names of fields as they are spelled, and nothing that points into the
// request, whose memory is used again.
var bodies = sonic.Config{CaseSensitive: true, CopyString: true, ValidateString: true}.Froze()

// Read decodes the body of a request, a JSON object, into what v points to. Members that v does not know
// are refused below /v1, unless the backend is lenient, and passed over elsewhere, as everywhere in the protocol; what v
// holds shares no memory with the request. Errors can be told as they are: they say what is wrong with the JSON, which
// member is given twice or is not known, or which field has the wrong type.
func Read(ctx *fasthttp.RequestCtx, v any) error {
	if err := Decode(ctx.PostBody(), v); err != nil {
		return err
	}
	if !bytes.HasPrefix(ctx.Path(), []byte("/v1/")) || Lenient(ctx) {
		return nil
	}
	if names := beyond(nil, "", ctx.PostBody(), reflect.TypeOf(v).Elem()); len(names) > 0 {
		return Unknown(names)
	}
	return nil
}

// OnlyMembers refuses members of a backend's JSON object that are not among the names, unless the backend is lenient. It
// is for bodies that Read does not decode.
func OnlyMembers(ctx *fasthttp.RequestCtx, names ...string) error {
	if Lenient(ctx) {
		return nil
	}
	var others []string
	_ = wire.Members(ctx.PostBody(), func(key string, _ []byte) error {
		if !slices.Contains(names, key) && len(others) < 8 {
			others = append(others, strings.Clone(key))
		}
		return nil
	})
	if len(others) > 0 {
		return Unknown(others)
	}
	return nil
}

// Lenient reports whether a backend wants members that are not known to be passed over.
func Lenient(ctx *fasthttp.RequestCtx) bool {
	return string(ctx.Request.Header.Peek(lenientHeader)) == "1"
}

const lenientHeader = "Weir-Lenient"

// Unknown is the error that names them.
func Unknown(names []string) *problem.Error {
	for i, name := range names {
		names[i] = Shorten(name)
	}
	return problem.UnknownMember.With("unknown: " + strings.Join(names, ", ") + ". With the header Weir-Lenient: 1 unknown members are ignored")
}

// beyond appends the members of an object that a struct has no fields for, those of objects within it too; 8 at most.
func beyond(names []string, in string, b []byte, t reflect.Type) []string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if reflect.PointerTo(t).Implements(unmarshaler) {
		return names // what is in it is not ours to say
	}
	switch t.Kind() {
	case reflect.Slice, reflect.Array:
		_ = wire.Elements(b, func(v []byte) error { names = beyond(names, in, v, t.Elem()); return nil })
	case reflect.Struct:
		_ = wire.Members(b, func(key string, v []byte) error {
			f, ok := fieldOf(t, key)
			switch {
			case ok:
				names = beyond(names, in+key+".", v, f)
			case len(names) < 8:
				names = append(names, in+strings.Clone(key))
			}
			return nil
		})
	}
	return names
}

var unmarshaler = reflect.TypeFor[json.Unmarshaler]()

// fieldOf is the type of the field that a member is read into.
func fieldOf(t reflect.Type, member string) (reflect.Type, bool) {
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" && !f.Anonymous {
			name = f.Name
		}
		if f.IsExported() && name == member && name != "-" {
			return f.Type, true
		}
	}
	return nil, false
}

// Decode is Read for bytes, such as the data of an event.
func Decode(b []byte, v any) error {
	seen := make(map[string]bool, 8)
	twice := ""
	err := wire.Members(b, func(key string, _ []byte) error {
		if seen[key] && twice == "" {
			twice = strings.Clone(key)
		}
		seen[key] = true
		return nil
	})
	switch {
	case errors.Is(err, wire.ErrDepth):
		return problem.TooDeep.Because(err)
	case err != nil && wire.ValidJSON(b) == nil:
		return problem.BadField.With("expected a JSON object")
	case err != nil:
		return problem.BadJSON.Because(err)
	case twice != "":
		return problem.BadField.With(Shorten(twice) + " is given twice")
	}
	if err = bodies.Unmarshal(b, v); err == nil {
		return nil
	}
	// The fast decoder does not say which field it was.
	probe := reflect.New(reflect.TypeOf(v).Elem()).Interface()
	var wrong *json.UnmarshalTypeError
	if errors.As(json.Unmarshal(b, probe), &wrong) && wrong.Field != "" {
		return problem.BadField.With(wrong.Field + " must be " + kindOf(wrong.Type))
	}
	return problem.BadField
}

// Shorten keeps what a client sent short enough to be quoted.
func Shorten(s string) string {
	const most = 64
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}

// kindOf returns the kind of JSON that a value of a type is read from.
func kindOf(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Map, reflect.Struct:
		return "an object"
	case reflect.Pointer:
		return kindOf(t.Elem())
	}
	return "of another type"
}

// Write answers a request with v as JSON; json.RawMessage as it is. Errors are about v.
func Write(ctx *fasthttp.RequestCtx, status int, v any) error {
	b, ok := v.(json.RawMessage)
	if !ok {
		var err error
		if b, err = sonic.ConfigStd.Marshal(v); err != nil {
			return err
		}
	}
	ctx.SetStatusCode(status)
	Answer(ctx, b)
	return nil
}

// Answer is a 200 with a JSON body.
func Answer(ctx *fasthttp.RequestCtx, body []byte) {
	ctx.SetContentType("application/json")
	ctx.SetBody(body)
}
