// Package lookup finds objects by a text that they hold themselves, in less memory than a map takes.
//
// A map[string]*T keeps a copy of each key's header: 25 bytes a place. A [Table] keeps a pointer and four bytes of the key's hash: 12. It is for what
// there is one of for each connection. Like a map it is not safe for concurrent use; unlike one it gives back most of its memory when most of its
// objects have gone, and moves all of them at once when it grows: a few nanoseconds each.
package lookup
