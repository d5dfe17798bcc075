// Package config is what can be set about a relay: the types, their defaults and the checks that a relay makes before it starts.
//
// The tags of the types say what a key is called, what its default is and what it may be: see [Field]. One walk over them
// ([Walk]) serves the defaults, the checks, the sources that package loader reads, and what it prints.
//
// The entry points are [Config.WithDefaults], [Check] and [Config.Complete]. Complete refuses what a relay could not serve with, and
// what would open it to everybody; Check says all that is wrong, and reads the files that a configuration names.
//
// The package has no state and starts no goroutine.
package config
