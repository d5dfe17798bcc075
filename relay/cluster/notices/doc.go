// Package notices is what a process knows of the notices of all: what every process of a cluster has to act on, at once or, if it was cut
// off, when it is heard again.
//
// Each process numbers its own notices ([Log.Make]), keeps them and those of others for ten minutes, and names the last one that it has of
// each ([Log.Heads]). A process that lacks some asks for them ([Log.Lacking], [Log.After]) and takes what it gets ([Log.CatchUp]), each once
// ([Log.Take]).
//
// It refuses a notice that it has already. One process has at most 16,384 kept; beyond that the oldest is forgotten, as one is after its
// time, and who would have needed it is told that it has missed some. A process whose last notice is older than a day is forgotten.
//
// A Log has one mutex, a leaf, and no goroutine.
package notices
