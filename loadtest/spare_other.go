//go:build !linux

package loadtest

type spare struct{}

func readSpare() spare { return spare{} }

func (spare) note(spare) string { return "" }
