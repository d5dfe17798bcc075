//go:build race

package pool

// raceEnabled says that the race detector allocates for its own ends.
const raceEnabled = true
