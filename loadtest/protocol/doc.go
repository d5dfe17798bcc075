// Package protocol describes how a server is spoken to, in a file: where it is, what is sent after a connection
// has opened, how an arriving message is told, what has to be answered, and how to publish. With such a file
// the load tester measures a server that it does not know.
//
// Protocol is the file's target section; Compile checks it as a whole and turns its texts into templates. The
// presets are such files too, and nothing else. A compiled protocol does not change and may be shared.
package protocol
