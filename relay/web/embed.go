// Package web holds the files that the relay serves: the page for trying it out and the OpenAPI document.
// They are embedded in the binary.
package web

import "embed"

//go:embed index.html weir-page.css weir-page.js openapi.yaml
var files embed.FS

// File is the content of a file; nil if there is none.
func File(name string) []byte {
	b, err := files.ReadFile(name)
	if err != nil {
		return nil
	}
	return b
}
