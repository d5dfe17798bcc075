// Package fake is a mesh in memory, for tests: between any two processes frames can be lost, held back, repeated and reordered, the
// table can be out of reach, and a process can be stopped.
//
// Each process has two goroutines, one for frames and one for rows, as with an engine; Close ends them.
package fake
