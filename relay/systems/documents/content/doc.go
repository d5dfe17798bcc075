// Package content is what a document holds and how it is kept: its operations, what they have made, and both as they are stored.
//
// An [Entry] is an operation of the log. A [Body] is what the operations have come to, in memory: a [TextBody], an [OpaqueBody] or a
// [YjsBody], as the document's [Kind] says; [Kinds] has how each is made and how often its snapshot is. A [Store] reads and writes logs
// and snapshots, in two channels for each document.
//
// It refuses stored parts that do not fit together, texts that concurrent changes split into too many components, and, in
// [Store.OnDisk], documents of which something is not on disk yet.
//
// The package has no goroutines and no locks: what it holds is guarded by the lock of the document that it belongs to. A body keeps at
// most 1500 operations or 4 MiB of them for clients that are behind; older ones are dropped, and those clients start from the content.
package content
