package parts

import "time"

// Ownership is a Merger without parts: it hears of the keys that this process begins to own, and of those that it no longer owns.
type Ownership func(of func(key string) bool, gained bool)

// Each implements Merger.
func (Ownership) Each(func(key string) bool, func(key, name string, since time.Time, value []byte)) {}

// Opened implements Merger.
func (f Ownership) Opened(of func(key string) bool) { f(of, true) }

// Merge implements Merger.
func (Ownership) Merge(string, string, []Part, Why) {}

// Lost implements Merger.
func (f Ownership) Lost(of func(key string) bool) { f(of, false) }
