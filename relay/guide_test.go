package relay_test

import (
	"os"
	"strings"
	"testing"
)

// TestGuideShowsTheExample holds the code of docs/writing-a-system.md against the example that the tests run.
func TestGuideShowsTheExample(t *testing.T) {
	page, err := os.ReadFile("../docs/writing-a-system.md")
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile("example_system_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, code, _ := strings.Cut(string(page), "```go\n")
	code, _, _ = strings.Cut(code, "```")
	if len(code) < 1000 || !strings.Contains(string(example), code) {
		t.Error("the guide's code is not that of example_system_test.go")
	}
}
