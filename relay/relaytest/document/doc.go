// Package document judges a document: a text that clients insert marks into, and read, at the same time. It must be linearizable, see package linear: versions are dense, and what was acknowledged
// at a version is in what is read of that version and of all later ones. What was refused is in none.
//
// Each mark is inserted once, at the beginning of the text. So a text tells which insert made each of the versions up to its own, and there is one order to be tried.
package document
