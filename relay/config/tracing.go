package config

import "net/url"

// Tracing says where spans of publications go: to a collector that takes OTLP over HTTP.
type Tracing struct {
	Endpoint string   `yaml:"endpoint"`              // such as http://127.0.0.1:4318; "": none, unless the environment names one
	Sample   *float64 `yaml:"sample" default:"0.01"` // share of the publications without a traceparent that are traced; one with it says itself

	// Environment: OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT names a collector.
	Environment bool `yaml:"-"`
}

// On reports whether there is a collector.
func (t Tracing) On() bool { return t.Endpoint != "" || t.Environment }

func (k *Checks) tracing(t Tracing) {
	if u, err := url.Parse(t.Endpoint); t.Endpoint != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil) {
		k.Add("tracing.endpoint", "not the address of a collector: expected one such as http://127.0.0.1:4318 (headers are in OTEL_EXPORTER_OTLP_HEADERS)")
	}
	if s := *t.Sample; s < 0 || s > 1 {
		k.Add("tracing.sample", "%v is out of range: expected 0 to 1", s)
	}
}
