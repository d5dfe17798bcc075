// Package loader turns a configuration file, environment variables and command-line flags into a
// checked config.Config, and says where each value came from.
//
// The entry point is Load. A flag wins over the environment, which wins over the file, which wins over
// the defaults. Load is strict: an unknown key, a value of the wrong kind, one out of range, a
// key given twice, a second YAML document, an anchor, alias or tag, and an unknown WEIR_ variable are all
// refused. It reports every problem it finds, each with its place, its full key path and what was
// expected there; an error names all problems at once. No message shows the value of a secret.
//
// Keys are found by reflection over the yaml tags of config.Config and of the sections of the systems, so that a new field is read,
// suggested and printed without a second list. A key path such as limits.per_address becomes the
// variable WEIR_LIMITS_PER_ADDRESS and the flag --limits-per-address. Namespaces and lists of keys come
// from the file only, but for WEIR_AUTH_SECRET and WEIR_API_KEY, which add one key each. A variable that
// is empty counts as not set.
//
// Print writes the configuration in force, with the source of every value, as YAML that loads again.
//
// The package has no state and starts no goroutine; all functions may be called concurrently. Files are
// bounded to 256 KiB and nested to a depth no configuration needs; what is larger is refused unread.
package loader
