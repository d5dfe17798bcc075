package layout

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// bubbled are the test files that sleep in simulated time, in a bubble that another file of their package makes, and the
// folders that hold nothing else.
var bubbled = []string{"model_stream_test.go", "model_viewer_test.go", "simulate"}

// TestTestsDoNotSleep refuses time.Sleep in tests outside of a bubble of testing/synctest. A test waits for what it
// needs, looking again at each tick, or keeps a pace by a ticker.
func TestTestsDoNotSleep(t *testing.T) {
	call, looked := "time."+"Sleep(", 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			if slices.Contains([]string{"node_modules", "bin", ".git"}, d.Name()) || slices.Contains(bubbled, d.Name()) {
				return filepath.SkipDir
			}
			return nil
		case !strings.HasSuffix(path, "_test.go") || slices.Contains(bubbled, d.Name()):
			return nil
		}
		b, err := os.ReadFile(path)
		if text := string(b); strings.Contains(text, call) && !strings.Contains(text, `"testing/synctest"`) {
			t.Errorf("%s sleeps: wait for a condition", path)
		}
		looked++
		return err
	})
	if err != nil || looked < 100 {
		t.Errorf("%d files looked at: %v", looked, err)
	}
}
