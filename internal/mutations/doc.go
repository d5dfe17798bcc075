// Package mutations breaks what keeps several nodes in one order, one thing at a time, and demands that a test finds it. All of it is test code.
//
// A mutation replaces text of one or more source files, in the memory of the compiler alone (go test -overlay): nothing in the tree is changed. TestMutations, with
// SUITES=1, runs the tests that are to find each; one that passes them all survives, and fails the test. TestMutationsFit holds the list against the sources, always.
package mutations
