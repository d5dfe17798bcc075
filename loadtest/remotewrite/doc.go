// Package remotewrite sends series of numbers to Prometheus, or whatever takes its remote write protocol, version 1: a
// message of protobuf (WriteRequest of prometheus/prompb), packed by snappy, by POST. The message has four kinds of
// fields; they are written here. See https://prometheus.io/docs/specs/prw/remote_write_spec.
package remotewrite
