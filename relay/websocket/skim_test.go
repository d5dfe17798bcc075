package websocket

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"weir/internal/wire"
)

// The ids are those that a parser finds, however the message is cut.
func TestSkimFindsIDs(t *testing.T) {
	value := rapid.Custom(func(t *rapid.T) any {
		return rapid.OneOf(rapid.Just[any](nil), rapid.Float64Range(-1e9, 1e9).AsAny(), rapid.String().AsAny(), rapid.Just[any](map[string]any{"id": "no", "x": []any{1}}),
			rapid.Just[any]([]any{"id", map[string]any{"id": 1}})).Draw(t, "value")
	})
	rapid.Check(t, func(t *rapid.T) {
		var list []any
		var want []string
		for range rapid.IntRange(1, 4).Draw(t, "commands") {
			c := map[string]any{}
			for _, key := range rapid.SliceOfN(rapid.SampledFrom([]string{"id", "data", "i", "idx", "\u00efd", "type"}), 0, 5).Draw(t, "keys") {
				c[key] = value.Draw(t, key)
			}
			list = append(list, c)
			id := ""
			switch v := c["id"].(type) {
			case string, float64:
				if b, _ := json.Marshal(v); len(b) <= wire.MaxID {
					id = string(b)
				}
			}
			want = append(want, id)
		}
		var message any = list
		if len(list) == 1 && rapid.Bool().Draw(t, "alone") {
			message = list[0]
		}
		b, err := json.Marshal(message)
		if err != nil {
			t.Fatal(err)
		}
		k, mask := new(skim), []byte{1, 2, 3, 4}
		for at, r := 0, iotest.OneByteReader(bytes.NewReader(b)); at < len(b); at++ {
			var one [1]byte
			_, _ = r.Read(one[:])
			k.read([]byte{one[0] ^ mask[at&3]}, mask, at)
		}
		var got []string
		for _, id := range k.ids {
			got = append(got, string(id))
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("%s: %q, want %q", b, got, want)
		}
	})
}
