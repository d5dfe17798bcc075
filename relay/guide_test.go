package relay_test

import (
	"os"
	"strings"
	"testing"
)

// TestGuideShowsTheExample holds the code of the pages that write a system and a dialect against the examples that the tests run.
func TestGuideShowsTheExample(t *testing.T) {
	for page, file := range map[string]string{
		"../docs/writing-a-system.md":  "example_system_test.go",
		"../docs/writing-a-dialect.md": "example_dialect_test.go",
	} {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		example, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, code, _ := strings.Cut(string(text), "```go\n")
		code, _, _ = strings.Cut(code, "```")
		if len(code) < 1000 || !strings.Contains(string(example), code) {
			t.Errorf("the code of %s is not that of %s", page, file)
		}
	}
}
