package layout

import (
	"bytes"
	"compress/gzip"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// testName is a test that a document names.
var testName = regexp.MustCompile("`((?:Test|Fuzz|Benchmark)[A-Z][A-Za-z0-9]*)`")

// TestDocumentsNameTests holds the tests that documents promise against those that there are.
func TestDocumentsNameTests(t *testing.T) {
	known := make(map[string]bool)
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)[A-Z][A-Za-z0-9]*)\(`)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		b, err := os.ReadFile(path)
		for _, m := range declared.FindAllSubmatch(b, -1) {
			known[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range pages(t) {
		for _, m := range testName.FindAllStringSubmatch(readPage(t, path), -1) {
			if !known[m[1]] {
				t.Errorf("%s names %s, which there is not", filepath.Base(path), m[1])
			}
		}
	}
}

// TestPagesNameFiles holds the files of the source that pages name, by their path from the root, against those that there are.
func TestPagesNameFiles(t *testing.T) {
	source := regexp.MustCompile("`([\\w.-]+/[\\w./-]+\\.go)`")
	for _, path := range pages(t) {
		if strings.Contains(path, "guides") { // files of the reader's own
			continue
		}
		for _, m := range source.FindAllStringSubmatch(readPage(t, path), -1) {
			if strings.HasPrefix(m[1], "github.com/") { // a module
				continue
			}
			if _, err := os.Stat(filepath.Join(root, m[1])); err != nil {
				t.Errorf("%s names %s: %v", filepath.Base(path), m[1], err)
			}
		}
	}
}

// TestPagesQuoteLogLines holds the log lines that pages quote against the texts in the source.
func TestPagesQuoteLogLines(t *testing.T) {
	lines := regexp.MustCompile("(?:log lines?|logs the same(?: steps)? as)\\s+((?:`[^`]+`(?:,\\s|\\sand\\s)?)+)")
	line := regexp.MustCompile("`([^`]+)`")
	var source strings.Builder
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == "node_modules":
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		b, err := os.ReadFile(path)
		source.Write(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	text, quoted := source.String(), 0
	for _, path := range pages(t) {
		for _, m := range lines.FindAllStringSubmatch(readPage(t, path), -1) {
			for _, q := range line.FindAllStringSubmatch(m[1], -1) {
				if quoted++; !strings.Contains(text, `"`+q[1]) {
					t.Errorf("%s quotes the log line %q, which there is not", filepath.Base(path), q[1])
				}
			}
		}
	}
	if quoted < 4 {
		t.Errorf("%d log lines were found on the pages", quoted)
	}
}

// withoutLinks takes away what would pass for a link in code; in its text a link of the page may stand.
func withoutLinks(code string) string { return strings.NewReplacer("](", "] (").Replace(code) }

// TestLinks follows the links between the documents, down to the headings.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:\s]*)(?:#([^)\s]+))?\)`)
	code := regexp.MustCompile("(?s)```.*?```|`[^`\n]*`")
	for _, path := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(code.ReplaceAllStringFunc(readPage(t, path), withoutLinks), -1) {
			target := path
			if m[1] != "" {
				target = filepath.Join(filepath.Dir(path), m[1])
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s: %v", path, m[1], err)
				continue
			}
			if m[2] != "" && !slices.Contains(anchors(readPage(t, target)), m[2]) {
				t.Errorf("%s links to #%s of %s, which has no such heading", path, m[2], target)
			}
		}
	}
}

// TestRenamedMetrics holds that a metric with an old name is in the changelog, with the new one.
func TestRenamedMetrics(t *testing.T) {
	renamed := regexp.MustCompile("\\| `(weir_\\w+)` \\|[^\n]*Deprecated name of (weir_\\w+)")
	listed := make(map[string]string)
	for _, m := range regexp.MustCompile("(?m)^\\| `(weir_\\w+)` \\| `(weir_\\w+)` \\|$").FindAllStringSubmatch(readPage(t, filepath.Join(root, "CHANGELOG.md")), -1) {
		listed[m[1]] = m[2]
	}
	for _, m := range renamed.FindAllStringSubmatch(readPage(t, filepath.Join(root, "docs", "metrics.md")), -1) {
		if listed[m[1]] != m[2] {
			t.Errorf("CHANGELOG.md does not list that %s is %s now", m[1], m[2])
		}
	}
}

// TestSizesOfTheClient holds the sizes of the modules for browsers that the pages name against the files.
func TestSizesOfTheClient(t *testing.T) {
	size := func(name string) float64 {
		var b bytes.Buffer
		w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = w.Write([]byte(readPage(t, filepath.Join(root, "relay/web/client/dist", name))))
		_ = w.Close()
		return float64(b.Len()) / 1000
	}
	for page, modules := range map[string][]string{"README.md": {"weir.js"}, "docs/client.md": {"weir.js", "weir-documents.js", "weir-share.js"}} {
		found := regexp.MustCompile(`(\d+\.\d) KB compressed`).FindAllStringSubmatch(readPage(t, filepath.Join(root, page)), -1)
		if len(found) != len(modules) {
			t.Fatalf("%s names %d sizes, want those of %v", page, len(found), modules)
		}
		for i, name := range modules {
			said, err := strconv.ParseFloat(found[i][1], 64)
			if is := size(name); err != nil || math.Abs(said-is) > 0.15 {
				t.Errorf("%s says that %s has %s KB compressed, and it has %.1f", page, name, found[i][1], is)
			}
		}
	}
}

// TestFiguresOfTheReadme holds the figures of the README against the page that the benchmarks have written.
func TestFiguresOfTheReadme(t *testing.T) {
	_, section, _ := strings.Cut(readPage(t, filepath.Join(root, "README.md")), "## Figures")
	section, _, _ = strings.Cut(section, "\n## ")
	measured := readPage(t, filepath.Join(root, "docs", "benchmarks.md"))
	found := regexp.MustCompile(`(?m)^\| \S.* \| (.*\d.*) \|$`).FindAllStringSubmatch(section, -1)
	if len(found) < 4 {
		t.Errorf("the README has %d figures", len(found))
	}
	for _, m := range found {
		if !strings.Contains(measured, "| "+m[1]+" |") {
			t.Errorf("the README says %q, which docs/benchmarks.md does not", m[1])
		}
	}
}

// TestBenchmarksKeepWhatIsWritten holds the parts of docs/benchmarks.md that are not of make compare against the files from which it writes them
// anew.
func TestBenchmarksKeepWhatIsWritten(t *testing.T) {
	page := readPage(t, filepath.Join(root, "docs", "benchmarks.md"))
	for _, name := range []string{"nodes.md", "limits.md"} {
		if part := strings.TrimSpace(readPage(t, filepath.Join(root, "loadtest/peers/compare", name))); part == "" || !strings.Contains(page, part) {
			t.Errorf("docs/benchmarks.md does not have loadtest/peers/compare/%s as it is: the next make compare would write that", name)
		}
	}
}

// TestDependenciesAreExplained holds the page of dependencies against go.mod: each direct one is there, with its version.
func TestDependenciesAreExplained(t *testing.T) {
	page := readPage(t, filepath.Join(root, "docs", "dependencies.md"))
	modules := readPage(t, filepath.Join(root, "go.mod")) + readPage(t, filepath.Join(root, "internal", "release", "go.mod"))
	found := regexp.MustCompile(`(?m)^\t(\S+) v(\S+)$`).FindAllStringSubmatch(modules, -1)
	if len(found) < 10 {
		t.Fatal(found)
	}
	for _, m := range found {
		if row := "| `" + m[1] + "` | " + m[2] + " |"; !strings.Contains(page, row) {
			t.Errorf("docs/dependencies.md has no row %q", row)
		}
	}
}

// pages are the README, its neighbours and all documents.
func pages(t *testing.T) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(root, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(filepath.Join(root, "docs"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == "node_modules" {
			return filepath.SkipDir
		}
		if err == nil && strings.HasSuffix(path, ".md") {
			list = append(list, path)
		}
		return err
	})
	if err != nil || len(list) < 10 {
		t.Fatal(list, err)
	}
	return list
}

func readPage(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var heading = regexp.MustCompile(`(?m)^#+ (.+)$`)

// anchors are the names under which the headings of a page are reached: lower case, dashes for spaces, the rest
// of punctuation left out.
func anchors(page string) []string {
	var list []string
	for _, m := range heading.FindAllStringSubmatch(page, -1) {
		list = append(list, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, m[1]))
	}
	return list
}
