// Package layout holds the tests that keep the packages in their places: who may import whom, one package
// comment each, nothing beside the agreed folders at the top, and no export that nobody uses. It has no code of its own.
package layout
