package notify

import (
	"testing"

	"weir/internal/relaytest"
)

func TestMain(m *testing.M) { relaytest.Main(m) }
