//go:build !linux

package unit

import "errors"

// Measure returns an error: the price of a write is measured on Linux.
func Measure(int) (Price, error) {
	return Price{}, errors.New("the price of a write is measured on Linux only")
}
