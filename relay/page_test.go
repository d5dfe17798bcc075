package relay

import (
	"bytes"
	"compress/gzip"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"testing"

	"weir/docs"
	"weir/relay/config"
	"weir/relay/web"
)

// fetch asks for a page as browsers do.
func (g *rig) fetch(path string) (*http.Response, []byte) {
	g.Helper()
	req, err := http.NewRequestWithContext(g.Context(), http.MethodGet, "http://"+g.public+path, nil)
	if err != nil {
		g.Fatal(err)
	}
	req.Header.Set("Accept-Encoding", "gzip") // so that the client leaves it alone
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Do(req)
	if err != nil {
		g.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		g.Fatal(err)
	}
	return resp, b
}

// Outside development mode there is no page unless the configuration says so, and no demos or documentation at all.
func TestPageIsOff(t *testing.T) {
	t.Parallel()
	g := open(t)
	for _, path := range []string{"/", "/weir-page.js", "/demo", "/docs", "/docs/README.md"} {
		if resp, _ := g.fetch(path); resp.StatusCode != 404 {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}
	on := open(t, func(c *config.Config) { c.Page = true })
	if resp, b := on.fetch("/"); resp.StatusCode != 200 || !bytes.Contains(b, []byte(`name="weir-token" content=""`)) || bytes.Contains(b, []byte("/demo")) || bytes.Contains(b, []byte("{{")) {
		t.Errorf("%d %s", resp.StatusCode, b)
	}
	if resp, _ := on.fetch("/demo"); resp.StatusCode != 404 {
		t.Error(resp.StatusCode)
	}
}

// Development mode serves the documentation, and links between its pages lead somewhere.
func TestDocsAreServed(t *testing.T) {
	t.Parallel()
	g := open(t, func(c *config.Config) { c.Dev = true })
	if resp, b := g.fetch("/"); !bytes.Contains(b, []byte(`href="/demo"`)) || !bytes.Contains(b, []byte(`href="/docs"`)) {
		t.Errorf("%d %s", resp.StatusCode, b)
	}
	if resp, _ := g.fetch("/docs"); resp.StatusCode != 302 || resp.Header.Get("Location") == "" {
		t.Error(resp.StatusCode, resp.Header)
	}
	pages := 0
	err := fs.WalkDir(docs.Pages, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		pages++
		resp, b := g.fetch("/docs/" + path)
		if resp.StatusCode != 200 || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") || !bytes.Contains(b, []byte("<h1")) || bytes.Contains(b, []byte("<script")) {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
		return nil
	})
	if err != nil || pages < 20 {
		t.Error(pages, err)
	}
	for _, path := range []string{"/docs/none.md", "/docs/../go.mod", "/docs/guides", "/docs/deploy/nginx.conf"} {
		if resp, _ := g.fetch(path); resp.StatusCode != 404 {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}
}

// Files are sent compressed to those who take that, and are the same.
func TestFilesAreCompressed(t *testing.T) {
	t.Parallel()
	g := open(t)
	resp, b := g.fetch("/weir.js")
	if resp.Header.Get("Content-Encoding") != "gzip" || !strings.Contains(resp.Header.Get("Vary"), "Accept-Encoding") || len(b) > 9<<10 {
		t.Error(resp.Header, len(b))
	}
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := io.ReadAll(r); err != nil || !bytes.Equal(plain, web.File("client/dist/weir.js")) {
		t.Error("not the same", err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+g.public+"/weir.js", nil)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := (&http.Transport{DisableCompression: true, DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Body.Close()
	if plain.Header.Get("Content-Encoding") != "" {
		t.Error(plain.Header)
	}
}
