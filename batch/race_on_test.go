//go:build race

package batch

// raceEnabled says that the race detector allocates for its own ends.
const raceEnabled = true
