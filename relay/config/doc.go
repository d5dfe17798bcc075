// Package config is what can be set about a relay: the types, their defaults and the checks that a relay makes before it starts.
//
// The entry points are [Config.WithDefaults] and [Config.Complete]. Complete refuses what a relay could not serve with, and
// what would open it to everybody; the finer checks, which name the line of a file, are made where the file is read.
//
// The package has no state and starts no goroutine. It reads no file and no environment.
package config
