package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weir/relay/config/loader"
)

// sample is a block of code on a page.
type sample struct {
	page string // from the root of the repository
	line int    // of its fence
	lang string
	text string
}

// samples are the blocks of code on a page, in order.
func samples(t *testing.T, page string) (list []sample) {
	t.Helper()
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	name, err := filepath.Rel("../..", page)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	at, lang := 0, ""
	for i, line := range strings.Split(string(b), "\n") {
		fence := strings.HasPrefix(line, "```")
		switch {
		case fence && at == 0:
			at, lang = i+1, strings.TrimPrefix(line, "```")
		case fence:
			list = append(list, sample{name, at, lang, text.String()})
			at = 0
			text.Reset()
		case at > 0:
			text.WriteString(line + "\n")
		}
	}
	return list
}

// pages are all pages with samples.
func pages(t *testing.T) (list []string) {
	t.Helper()
	list = append(list, "../../README.md")
	if err := filepath.WalkDir("../../docs", func(path string, _ os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".md") {
			list = append(list, path)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return list
}

// Every configuration on a page passes weir config check. Files under /etc/weir are the reader's to make.
func TestEveryConfigurationOnAPagePasses(t *testing.T) {
	found := 0
	for _, page := range pages(t) {
		for _, s := range samples(t, page) {
			if s.lang != "yaml" {
				continue
			}
			found++
			file := filepath.Join(t.TempDir(), "weir.yaml")
			if err := os.WriteFile(file, []byte(s.text), 0o600); err != nil {
				t.Fatal(err)
			}
			key := strings.Repeat("k", 40)
			_, err := loader.Load(loader.Source{Systems: known(), File: file, Env: []string{"WEIR_AUTH_SECRET=" + key, "WEIR_API_KEY=" + key + "2"}})
			if err == nil {
				continue
			}
			for line := range strings.SplitSeq(err.Error(), "\n") {
				if !strings.Contains(line, `"/etc/weir/`) || !strings.HasSuffix(line, "no such file or directory") {
					t.Errorf("%s:%d: %s", s.page, s.line, line)
				}
			}
		}
	}
	if found < 10 {
		t.Errorf("%d configurations were found", found)
	}
}
