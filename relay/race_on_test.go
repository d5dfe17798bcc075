//go:build race

package relay

// raceEnabled says that the race detector allocates for its own ends.
const raceEnabled = true
