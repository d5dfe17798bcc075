// Package docs holds the pages of the documentation, which development mode serves at /docs.
package docs

import "embed"

// Pages is every page, by its path below docs.
//
//go:embed *.md guides/*.md
var Pages embed.FS
