package loader

import (
	"testing"

	"go.uber.org/goleak"
)

// Packages that come with relay start goroutines of their own when they are loaded; those are not leaks.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) }
