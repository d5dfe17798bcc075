// Package linear judges what clients were answered that work on one thing at the same time, by whatever node, while nodes fail. It must be what that thing could have answered if one
// operation happened at a time, each between its request and its answer: it must be linearizable. An operation without an answer happened at some time after its request, or never. The
// search is porcupine's.
package linear
