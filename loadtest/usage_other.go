//go:build !linux

package loadtest

import "errors"

func processUsage(int) (cpu, rss int64, err error) {
	return 0, 0, errors.New("the usage of a process is only known on Linux: use --metrics")
}

func listeners(uint16) []int { return nil }

func raiseDescriptors(int) error { return nil }
