package api

import (
	"bytes"
	"strings"

	"github.com/valyala/fasthttp"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"

	"weir/docs"
	"weir/relay/problem"
)

// markdown turns the pages of the documentation into HTML. Headings get ids, so that links between pages find them.
var markdown = goldmark.New(goldmark.WithExtensions(extension.GFM), goldmark.WithParserOptions(parser.WithAutoHeadingID()))

// handleDocs is GET /docs/{page}, in development mode: the documentation of this version.
func (s *Server) handleDocs(ctx *fasthttp.RequestCtx) {
	name, _ := ctx.UserValue("page").(string)
	if name == "" {
		ctx.Redirect("/docs/README.md", fasthttp.StatusFound)
		return
	}
	text, err := docs.Pages.ReadFile(name)
	if err != nil {
		s.gate.Refuse(ctx, problem.NotFound)
		return
	}
	var body bytes.Buffer
	if err := markdown.Convert(text, &body); err != nil {
		s.gate.Fail(ctx, err)
		return
	}
	title, _, _ := strings.Cut(strings.TrimPrefix(string(text), "# "), "\n")
	Page(ctx, `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>`+title+` · weir</title>
<link rel="stylesheet" href="/weir-page.css">
</head>
<body class="doc">
<header><nav aria-label="More"><a href="/">weir</a><a href="/demo">Demos</a><a href="/docs/README.md">Docs</a></nav></header>
<main>
`+body.String()+`</main>
</body>
</html>
`)
}
