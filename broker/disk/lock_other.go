//go:build !unix

package disk

import "io"

type noLock struct{}

func (noLock) Close() error { return nil }

// lockFolder leaves it to the database, which locks its file.
func lockFolder(string) (io.Closer, error) { return noLock{}, nil }
