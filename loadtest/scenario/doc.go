// Package scenario says what a load test does: how many connections follow which channels, what is
// published when, and what is measured. A Scenario is data (a preset, or a YAML file of the same
// fields); a Plan is a validated Scenario with its timetable worked out, so that the due time, channel
// and kind of message number k can be asked for without any state. It does no I/O beyond reading a
// scenario file, has no goroutines, and refuses unknown fields and values out of range with the line
// they stand on.
package scenario
