// Package mesh is what a cluster of processes needs of what is between them: a transport that may lose frames, and a table
// whose rows change by compare-and-set. It knows nothing of channels, and no engine: package nats is one on NATS, package
// fake one in memory, for tests. For what must outlive processes there are logs and a shelf, see [Log] and [Shelf].
//
// Nothing in it may be relied on but the table, the logs and the shelf: a frame that was sent may come late, twice, in another order or not at all.
package mesh
