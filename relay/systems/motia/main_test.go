package motia_test

import (
	"testing"

	"weir/relay/relaytest"
)

func TestMain(m *testing.M) { relaytest.Main(m) }
