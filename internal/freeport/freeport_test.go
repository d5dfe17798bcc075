package freeport_test

import (
	"testing"

	"weir/internal/freeport"
)

// Several are asked for before any is used, so that who listens does not tell.
func TestAddressIsGivenOnce(t *testing.T) {
	given := map[string]bool{}
	for range 2000 {
		address := freeport.Address(t)
		if given[address] {
			t.Fatalf("%s was given twice", address)
		}
		given[address] = true
	}
}
