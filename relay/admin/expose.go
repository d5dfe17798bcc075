package admin

import (
	"bytes"

	"weir/relay/stats"

	"github.com/VictoriaMetrics/metrics"
)

// expose is what the admin listener answers at /metrics: all that is counted, in the text format of Prometheus, with a line
// of # HELP and one of # TYPE before the samples of each metric.
func expose(set *metrics.Set) []byte {
	metrics.ExposeMetadata(true) // for the whole process, which is the same each time
	var b bytes.Buffer
	set.WritePrometheus(&b)
	metrics.WriteProcessMetrics(&b)
	metrics.WriteFDMetrics(&b)
	return describe(b.Bytes())
}

// describe puts what stats.Metrics says of a metric into its # HELP, and leaves one # TYPE of several: the library writes both
// before each sample that is counted elsewhere, and parsers refuse the second.
func describe(text []byte) []byte {
	out := make([]byte, 0, len(text)+8<<10)
	help := make(map[string]string)
	for _, m := range stats.Metrics() {
		help[m.Name] = m.Help
	}
	seen := make(map[string]bool)
	for line := range bytes.Lines(text) {
		if bytes.HasPrefix(line, []byte("# HELP ")) {
			continue
		}
		rest, isType := bytes.CutPrefix(line, []byte("# TYPE "))
		if !isType {
			out = append(out, line...)
			continue
		}
		name, _, _ := bytes.Cut(rest, []byte{' '})
		if seen[string(name)] {
			continue
		}
		seen[string(name)] = true
		if h := help[string(name)]; h != "" {
			out = append(append(append(out, "# HELP "...), name...), ' ')
			out = append(append(out, h...), '\n')
		}
		out = append(out, line...)
	}
	return out
}
