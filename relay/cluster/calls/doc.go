// Package calls has the calls of other processes worked on. It knows what answers each kind of them, and how many are worked on at a time; how they come, and
// how their answers go, is their caller's.
package calls
