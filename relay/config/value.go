package config

import (
	"encoding"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"weir/internal/units"
)

// Unlimited is a rate that nothing reaches. A file that says "none" means it, while the zero Rate of a
// Config means the default.
var Unlimited = units.Rate{Count: 1 << 30, Per: time.Second}

// Immediately stands for a time of 0 where the zero of the Config means a longer default: the shortest
// there is.
const Immediately = time.Nanosecond

// Parse sets a word, or what a pointer to one points to, from its text.
func Parse(v reflect.Value, text string) error {
	t := v.Type()
	if t.Kind() == reflect.Pointer {
		p := reflect.New(t.Elem())
		if err := Parse(p.Elem(), text); err != nil {
			return err
		}
		v.Set(p)
		return nil
	}
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if err := u.UnmarshalText([]byte(text)); err != nil {
			return err
		}
		if rate, ok := u.(*units.Rate); ok && *rate == (units.Rate{}) {
			*rate = Unlimited
		}
		return nil
	}
	switch {
	case t == durationType:
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 {
			return fmt.Errorf("%s is not a duration: expected e.g. 50ms, 10s or 1h", Quote(text))
		}
		v.SetInt(int64(d))
	case t.Kind() == reflect.Bool:
		if text != "true" && text != "false" {
			return fmt.Errorf("%s is not true or false", Quote(text))
		}
		v.SetBool(text == "true")
	case t.Kind() == reflect.Int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("%s is not a whole number: expected e.g. 100", Quote(text))
		}
		v.SetInt(int64(n))
	case t.Kind() == reflect.Float64:
		x, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsInf(x, 0) || math.IsNaN(x) {
			return fmt.Errorf("%s is not a number: expected e.g. 100 or 0.5", Quote(text))
		}
		v.SetFloat(x)
	case t.Kind() == reflect.String:
		if err := CheckText(text); err != nil {
			return err
		}
		v.SetString(text)
	default:
		return fmt.Errorf("a value of this kind cannot be set")
	}
	return nil
}

// CheckText refuses what nobody means in an address, a name or a secret, and what would spoil a log.
func CheckText(text string) error {
	if !utf8.ValidString(text) {
		return fmt.Errorf("the text is not UTF-8")
	}
	for _, r := range text {
		if unicode.IsControl(r) {
			return fmt.Errorf("the text holds a line break or another control character (%U)", r)
		}
	}
	return nil
}

// KindOf names what a value of the type is, for messages about one of the wrong shape.
func KindOf(v reflect.Value) string {
	t := v.Type()
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == durationType:
		return "a duration, e.g. 50ms"
	case t == reflect.TypeFor[units.Size]():
		return "a size, e.g. 64KiB"
	case t == reflect.TypeFor[units.Rate]():
		return "a rate, e.g. 50/s"
	case t == stringsType:
		return "a list of texts, e.g. [a, b]"
	case t == reflect.TypeFor[Stretch]():
		return "true, false or a number, e.g. 4"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.Int:
		return "a whole number"
	case t.Kind() == reflect.Float64:
		return "a number"
	case t.Kind() == reflect.Slice:
		return "a list of sections, each beginning with a dash"
	case t.Kind() == reflect.Map:
		return "a section with a name of your choice for each entry"
	case t.Kind() == reflect.Struct:
		return "a section with the keys " + strings.Join(FieldNames(v), ", ")
	}
	return "a text"
}

// Format spells a word as Parse reads it. A nil pointer is "".
func Format(v reflect.Value) string {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return ""
		}
		v = v.Elem()
	}
	switch x := v.Interface().(type) {
	case time.Duration:
		return FormatDuration(x)
	case units.Rate:
		if x.Count >= Unlimited.Count {
			return "none"
		}
		return x.String()
	case fmt.Stringer:
		return x.String()
	}
	switch v.Kind() {
	case reflect.Bool:
		return strconv.FormatBool(v.Bool())
	case reflect.Int:
		return strconv.FormatInt(v.Int(), 10)
	case reflect.Float64:
		return strconv.FormatFloat(v.Float(), 'g', -1, 64)
	}
	return v.String()
}
