package analytics

import (
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/VictoriaMetrics/metrics"

	"weir/internal/wire"
)

func TestRead(t *testing.T) {
	for _, tt := range []struct {
		data  string
		name  string
		value float64
		bad   string
	}{
		{`null`, "", 1, ""},
		{`{}`, "", 1, ""},
		{`{"value":0}`, "", 0, ""},
		{`{"value":-2.5e3,"name":"GET /x","more":[1]}`, "GET /x", -2500, ""},
		{`{"value":null,"name":null}`, "", 1, ""},
		{`{"name":"\u00e9"}`, "é", 1, ""},
		{`{"value":"1"}`, "", 0, "value"},
		{`{"value":true}`, "", 0, "value"},
		{`{"value":1e999}`, "", 0, "value"},
		{`{"value":1e16}`, "", 0, "value"},
		{`{"name":""}`, "", 0, "name"},
		{`{"name":7}`, "", 0, "name"},
		{`{"name":"a\nb"}`, "", 0, "name"},
		{`{"name":" a"}`, "", 0, "name"},
		{`{"name":"` + strings.Repeat("a", 65) + `"}`, "", 0, "name"},
		{`[]`, "", 0, "data"},
		{`7`, "", 0, "data"},
	} {
		x, err := parse([]byte(tt.data))
		if tt.bad != "" {
			if err == nil || !strings.Contains(err.Error(), tt.bad) {
				t.Errorf("%s: %v", tt.data, err)
			}
			continue
		}
		if err != nil || x.name != tt.name || x.value != tt.value {
			t.Errorf("%s: %+v %v", tt.data, x, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, seed := range []string{`null`, `{"value":1,"name":"a"}`, `{"value":-1e15}`, `{"value":"x"}`, `[{}]`, `{"name":"\ud83d\ude00"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if wire.ValidJSON(data) != nil || len(data) == 0 || data[0] <= ' ' {
			return // the relay has looked at it before
		}
		x, err := parse(data)
		if err != nil {
			return
		}
		if math.IsNaN(x.value) || math.Abs(x.value) > maxValue || len(x.name) > maxName || !utf8.ValidString(x.name) {
			t.Fatalf("%q: %+v", data, x)
		}
		m := newMetric("user", "action", x.name, false)
		update := m.update(point{1, x.value}, 1)
		if err := wire.ValidJSON(update); err != nil {
			t.Fatalf("%s: %v", update, err)
		}
	})
}

// BenchmarkTake is what counting one event costs.
func BenchmarkTake(b *testing.B) {
	for _, tt := range []struct{ name, data string }{{"plain", `{"value":12.5}`}, {"named", `{"name":"GET /cart","value":12.5}`}} {
		b.Run("event="+tt.name, func(b *testing.B) {
			s := &System{byLabel: make(map[string]*metric), limit: 128, counted: counters{events: new(metrics.Counter)}}
			s.topics = []topic{{kind: "api", action: "request", plain: s.add("api", "request", "", false), named: make(map[string]*metric)}}
			data := []byte(tt.data)
			b.ReportAllocs()
			for b.Loop() {
				if err := s.count(0, data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
