// Package yjs reads the updates of Yjs documents (encoding V1) as far as is needed to store, merge and split them
// without taking part in the editing: which pieces of which client they hold, and what they delete. What the
// pieces mean is left to the clients.
//
// Entry points: [Parse] reads an update and refuses what is none, [Merge] puts updates together, [Update.Since] is
// what a client with a [StateVector] lacks. [ParseMessage] and [ParseAwareness] read the messages of y-websocket.
//
// It refuses, with [ErrForm], whatever is cut short, is longer than it says, counts beyond 2^53 or nests too deeply.
// What it accepts takes memory in proportion to its bytes. Nothing here is safe for concurrent use, but that an
// Update is not changed once it is parsed.
package yjs
