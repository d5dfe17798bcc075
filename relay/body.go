package relay

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"

	"github.com/bytedance/sonic"
	"github.com/valyala/fasthttp"

	"weir/internal/wire"
)

// bodies reads JSON as it is meant: names of fields as they are spelled, and nothing that points into the
// request, whose memory is used again.
var bodies = sonic.Config{CaseSensitive: true, CopyString: true, ValidateString: true}.Froze()

// ReadJSON decodes the body of a request, a JSON object, into what v points to. Members that v does not know
// are passed over, as everywhere in the protocol; what v holds shares no memory with the request. Errors can be
// told as they are: they say what is wrong with the JSON, which member stands there twice, or which field has
// the wrong type.
func ReadJSON(ctx *fasthttp.RequestCtx, v any) error { return decodeObject(ctx.PostBody(), v) }

// DecodeJSON is ReadJSON for the data of an event.
func DecodeJSON(data []byte, v any) error { return decodeObject(data, v) }

// decodeObject is ReadJSON for bytes.
func decodeObject(b []byte, v any) error {
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
		return faultDepth.because(err)
	case err != nil && wire.ValidJSON(b) == nil:
		return faultField.with("expected a JSON object")
	case err != nil:
		return faultJSON.because(err)
	case twice != "":
		return faultField.with(shorten(twice) + " is given twice")
	}
	if err = bodies.Unmarshal(b, v); err == nil {
		return nil
	}
	// The fast decoder does not say which field it was.
	probe := reflect.New(reflect.TypeOf(v).Elem()).Interface()
	var wrong *json.UnmarshalTypeError
	if errors.As(json.Unmarshal(b, probe), &wrong) && wrong.Field != "" {
		return faultField.with(wrong.Field + " must be " + kindOf(wrong.Type))
	}
	return faultField
}

// shorten keeps what a client sent short enough to be quoted.
func shorten(s string) string {
	const most = 64
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}

// kindOf says what JSON a value of a type is read from.
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

// WriteJSON answers a request with v as JSON; json.RawMessage as it is. Errors are about v.
func WriteJSON(ctx *fasthttp.RequestCtx, status int, v any) error {
	b, ok := v.(json.RawMessage)
	if !ok {
		var err error
		if b, err = sonic.ConfigStd.Marshal(v); err != nil {
			return err
		}
	}
	ctx.SetStatusCode(status)
	answerJSON(ctx, b)
	return nil
}
