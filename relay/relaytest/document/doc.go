// Package document judges a document: a text that clients insert marks into, and read, at the same time, by whatever node, while nodes fail. What they were answered must be what one document could
// have answered to which one thing happens at a time, each between its request and its answer: it must be linearizable. Versions are dense, and what was acknowledged at a version is in what is read of
// that version and of all later ones. What was refused is in none. An insert without an answer was made at some time after its request, or never.
//
// Each mark is inserted once, at the beginning of the text. So a text tells which insert made each of the versions up to its own, and there is one order to be tried. The search is porcupine's.
package document
