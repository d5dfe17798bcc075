package web

import (
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var page = []string{"index.html", "weir-page.css", "weir-page.js"}

// maxPage is the most bytes of all files of the page together: it is part of every binary.
const maxPage = 30 << 10

func TestFiles(t *testing.T) {
	size := 0
	for _, name := range page {
		b := File(name)
		if len(b) == 0 {
			t.Errorf("%s is missing", name)
		}
		size += len(b)
	}
	if size > maxPage {
		t.Errorf("the page has %d bytes, want at most %d", size, maxPage)
	}
	if b := File("embed.go"); b != nil {
		t.Error("source code is served")
	}
	if n := strings.Count(string(File("index.html")), "{{TOKEN}}"); n != 1 {
		t.Errorf("index.html has %d places for a token, want 1", n)
	}
}

// The policy that the page is served with forbids whatever stands inline, and data must never become
// markup or code.
func TestPageIsSafe(t *testing.T) {
	for name, forbidden := range map[string]string{
		"index.html":    `(?i)\son[a-z]+=|\sstyle=|<style|<script>|javascript:|https?://[^w]`,
		"weir-page.css": `(?i)@import|url\(|https?://`,
		"weir-page.js":  `(?i)innerHTML|outerHTML|insertAdjacentHTML|createContextualFragment|document\.write|\beval\b|Function\(|localStorage|document\.cookie|https?://`,
	} {
		if found := regexp.MustCompile(forbidden).FindAll(File(name), -1); found != nil {
			t.Errorf("%s holds %q", name, found)
		}
	}
}

func TestPageNamesWhatThereIs(t *testing.T) {
	html, js := string(File("index.html")), string(File("weir-page.js"))
	ids := make(map[string]bool)
	for _, m := range regexp.MustCompile(`\sid="([^"]*)"`).FindAllStringSubmatch(html, -1) {
		if ids[m[1]] {
			t.Errorf("id %s is there twice", m[1])
		}
		ids[m[1]] = true
	}
	for _, m := range regexp.MustCompile(`\bui\.(\w+)|number\("(\w+)"`).FindAllStringSubmatch(js, -1) {
		if id := m[1] + m[2]; !ids[id] {
			t.Errorf("the script uses %s, which the page does not have", id)
		}
	}
	for _, m := range regexp.MustCompile(`(?:for|aria-controls|aria-describedby)="([^"]*)"`).FindAllStringSubmatch(html, -1) {
		if !ids[m[1]] {
			t.Errorf("the page refers to %s, which it does not have", m[1])
		}
	}
}

func TestOpenAPI(t *testing.T) {
	var doc map[string]any
	if err := yaml.Unmarshal(File("openapi.yaml"), &doc); err != nil {
		t.Fatal(err)
	}
	if v, _ := doc["openapi"].(string); !strings.HasPrefix(v, "3.1.") {
		t.Errorf("openapi is %q, want 3.1", v)
	}
	for _, m := range regexp.MustCompile(`\$ref: "#/([^"]*)"`).FindAllStringSubmatch(string(File("openapi.yaml")), -1) {
		var at any = doc
		for part := range strings.SplitSeq(m[1], "/") {
			o, _ := at.(map[string]any)
			at = o[part]
		}
		if at == nil {
			t.Errorf("%s refers to nothing", m[0])
		}
	}
}
