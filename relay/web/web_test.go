package web

import (
	"bytes"
	"compress/gzip"
	"io/fs"
	"path"
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

// Every page is served with that policy, and keeps to it.
func TestAllPagesAreSafe(t *testing.T) {
	checked := 0
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.Contains(name, "uplot") {
			return err
		}
		var forbidden string
		switch path.Ext(name) {
		case ".html":
			forbidden = `(?i)\son[a-z]+=|\sstyle=|<style|<script>|javascript:|(?:src|href)="https?:`
		case ".css":
			forbidden = `(?i)@import|url\(`
		case ".js":
			forbidden = `innerHTML|outerHTML|insertAdjacentHTML|createContextualFragment|document\.write|\beval\(|new Function|localStorage|document\.cookie`
		default:
			return nil
		}
		checked++
		if found := regexp.MustCompile(forbidden).FindAll(File(name), -1); found != nil {
			t.Errorf("%s holds %q", name, found)
		}
		return nil
	})
	if err != nil || checked < 15 {
		t.Errorf("%d files, %v", checked, err)
	}
}

// The client that is embedded is the one that its source makes: npm run check, which make test runs, holds that.
func TestClientIsSmall(t *testing.T) {
	modules := map[string][]string{"weir": {"connect"}, "weir-share": {"connect"}, "weir-documents": {"openDocument", "textarea", "codemirror"}}
	for module, exports := range modules {
		js := File("client/dist/" + module + ".js")
		var packed bytes.Buffer
		w := gzip.NewWriter(&packed)
		if _, err := w.Write(js); err != nil || w.Close() != nil {
			t.Fatal(err)
		}
		if n := packed.Len(); len(js) == 0 || n > 8<<10 {
			t.Errorf("%s.js has %d bytes, %d gzipped, want at most 8 KiB", module, len(js), n)
		}
		for _, name := range exports {
			if !regexp.MustCompile(`export\s?{[^}]*\b` + name + `\b`).Match(js) {
				t.Errorf("%s.js does not export %s", module, name)
			}
			types := File("client/dist/" + module + ".d.ts")
			if !regexp.MustCompile(`declare (function|const) `+name+`\b`).Match(types) || !regexp.MustCompile(`export {[^}]*\b`+name+`\b`).Match(types) {
				t.Errorf("%s.d.ts does not declare and export %s", module, name)
			}
		}
	}
	if n := len(Client()); n != 2*len(modules) {
		t.Errorf("%d files are served, want %d", n, 2*len(modules))
	}
}

func TestTags(t *testing.T) {
	if a, b := Tag("weir-page.js"), Tag("weir-page.css"); a == b || len(a) != 20 || Tag("weir-page.js") != a {
		t.Error(a, b)
	}
	if tag := Tag("embed.go"); tag != "" {
		t.Error(tag)
	}
	for name, want := range map[string]string{"a.js": "text/javascript; charset=utf-8", "a.d.ts": "application/typescript; charset=utf-8", "a.exe": "text/plain; charset=utf-8"} {
		if got := Type(name); want != "text/plain; charset=utf-8" && got != want {
			t.Errorf("%s: %s", name, got)
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
