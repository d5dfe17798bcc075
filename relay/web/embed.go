package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"mime"
	"path"
	"strings"
	"sync"
)

//go:embed index.html weir-page.css weir-page.js openapi.yaml
//go:embed client/dist
//go:embed demo dashboard
var files embed.FS

// File is the content of a file; nil if there is none.
func File(name string) []byte {
	b, err := files.ReadFile(name)
	if err != nil {
		return nil
	}
	return b
}

// Client names the modules of the client for browsers and their types, all in client/dist.
func Client() []string {
	list, err := files.ReadDir("client/dist")
	if err != nil {
		panic(err) // it is part of the binary
	}
	names := make([]string, len(list))
	for i, f := range list {
		names[i] = f.Name()
	}
	return names
}

// tags remembers the answers of Tag: files never change.
var tags sync.Map

// Tag is the entity tag of a file (RFC 9110, section 8.8.3), a weak one, since it is that of the compressed file too; ""
// if there is no such file.
func Tag(name string) string {
	if t, ok := tags.Load(name); ok {
		return t.(string)
	}
	b := File(name)
	if b == nil {
		return ""
	}
	sum := sha256.Sum256(b)
	t := `W/"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
	tags.Store(name, t)
	return t
}

// zipped remembers the answers of Gzip.
var zipped sync.Map

// Gzip is a file compressed with gzip; nil if there is no such file, or if that would not make it smaller.
func Gzip(name string) []byte {
	if z, ok := zipped.Load(name); ok {
		return z.([]byte)
	}
	b := File(name)
	if b == nil {
		return nil
	}
	var out bytes.Buffer
	w, _ := gzip.NewWriterLevel(&out, gzip.BestCompression) // the level exists
	_, _ = w.Write(b)                                       // a buffer takes everything
	_ = w.Close()
	z := out.Bytes()
	if len(z) >= len(b) {
		z = nil
	}
	zipped.Store(name, z)
	return z
}

// Type is the content type of a file, by its name.
func Type(name string) string {
	switch path.Ext(name) {
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".ts":
		return "application/typescript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".html":
		return "text/html; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".yaml":
		return "application/yaml"
	}
	if t := mime.TypeByExtension(path.Ext(name)); t != "" && !strings.HasPrefix(t, "text/html") {
		return t
	}
	return "text/plain; charset=utf-8"
}
