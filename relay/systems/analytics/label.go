package analytics

import (
	"fmt"
	"slices"
	"strings"

	"weir/relay"
)

// CheckLabel returns an error unless a label is that of a metric: a topic that is counted, optionally with a slash and a
// name, or one of the relay's own.
func CheckLabel(label string) error {
	if slices.Contains(OwnLabels(), label) {
		return nil
	}
	topic, name, named := strings.Cut(label, "/")
	switch {
	case !slices.Contains(Topics(), topic):
		return fmt.Errorf("expected %s, with or without a /name, or a figure of weir's own such as weir.connections", strings.Join(Topics(), ", "))
	case named && !validName(name):
		return fmt.Errorf("what stands behind the slash is no name: expected 1 to %d bytes", maxName)
	}
	return nil
}

// OwnLabels returns the labels of the relay's own metrics.
func OwnLabels() []string {
	var out []string
	for _, key := range slices.Concat(relay.ReadingGauges(), relay.ReadingCounts()) {
		out = append(out, ownKind+"."+key)
	}
	return out
}
