package layout

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPackagesStaySmall holds that a reader finds a way around each package of the relay: it has 3,000 lines at most without its tests, and the one that
// only builds, runs and ends the others 1,000.
func TestPackagesStaySmall(t *testing.T) {
	packages(t, func(dir string, files map[string]*file) {
		if !under(dir, "relay") {
			return
		}
		lines, most := 0, 3000
		if dir == "relay" {
			most = 1000
		}
		for name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			b, err := os.ReadFile(filepath.Join(root, dir, name))
			if err != nil {
				t.Fatal(err)
			}
			lines += bytes.Count(b, []byte("\n"))
		}
		if lines > most {
			t.Errorf("%s has %d lines, %d at most: make it simpler, or move what is a noun of its own to a package of its own", dir, lines, most)
		}
	})
}
