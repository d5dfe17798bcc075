package relay

import (
	"runtime"
	"testing"

	"github.com/bytedance/sonic"
)

// TestSonicIsCompiled holds that the JSON package has its fast form with this Go: it falls back to the
// standard library's without a word.
func TestSonicIsCompiled(t *testing.T) {
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		t.Skipf("sonic has no native form for %s", runtime.GOARCH)
	}
	if sonic.APIKind != sonic.UseSonicJSON {
		t.Errorf("sonic.APIKind is %d: the fallback", sonic.APIKind)
	}
}
