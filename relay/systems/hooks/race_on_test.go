//go:build race

package hooks_test

// raceEnabled says that all takes several times as long.
const raceEnabled = true
