package loader

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"weir/relay/config"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Bounds of a configuration file. The parser recurses, and in places its time grows with the square of
// its input.
const (
	maxFile  = 256 << 10
	maxDepth = 16
)

// readFile reads the configuration file.
func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, config.Reason(err)
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, config.Reason(err)
	}
	return data, nil
}

// syntaxError is why a text is not the one plain YAML document that is expected.
type syntaxError struct {
	line    int
	message string
}

func (e *syntaxError) Error() string { return e.message }

func syntaxf(tk *token.Token, format string, args ...any) *syntaxError {
	e := &syntaxError{message: fmt.Sprintf(format, args...)}
	if tk != nil && tk.Position != nil {
		e.line = tk.Position.Line
	}
	return e
}

// parseYAML parses one document; nil for an empty one. Keys given twice are left in, for the decoder
// to report with their paths.
func parseYAML(data []byte) (ast.Node, *syntaxError) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	switch {
	case len(data) > maxFile:
		return nil, &syntaxError{message: fmt.Sprintf("larger than %d KiB: this is no configuration file", maxFile>>10)}
	case !utf8.Valid(data) || bytes.IndexByte(data, 0) >= 0:
		return nil, &syntaxError{message: "not a text in UTF-8"}
	}
	tokens := lexer.Tokenize(string(data))
	if err := checkTokens(tokens); err != nil {
		return nil, err
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	var failed yaml.Error
	switch {
	case errors.As(err, &failed):
		return nil, syntaxf(failed.GetToken(), "not valid YAML: %s", oneLine(failed.GetMessage()))
	case err != nil:
		return nil, &syntaxError{message: "not valid YAML"}
	case len(file.Docs) == 0:
		return nil, nil
	}
	return file.Docs[0].Body, nil
}

// checkTokens refuses what a configuration does not need and what would make the parser work hard.
func checkTokens(tokens token.Tokens) *syntaxError {
	depth, dashes, line, content := 0, 0, 0, false
	for _, tk := range tokens {
		if tk.Type == token.InvalidType {
			if strings.ContainsRune(tk.Value, '\t') {
				return syntaxf(tk, "indented with a tab: expected spaces")
			}
			return syntaxf(tk, "not valid YAML: %s", oneLine(tk.Error))
		}
		if tk.Position.Line != line {
			line, dashes = tk.Position.Line, 0
		}
		switch tk.Type {
		case token.CommentType, token.DocumentEndType:
			continue
		case token.DocumentHeaderType:
			if content {
				return syntaxf(tk, "a second document begins here: expected one in a file")
			}
		case token.AnchorType, token.AliasType, token.TagType, token.MergeKeyType, token.MappingKeyType, token.DirectiveType:
			return syntaxf(tk, "%q: anchors, aliases, tags, merge keys, complex keys and directives of YAML are not supported: write the value out",
				strings.TrimSpace(tk.Value))
		case token.SequenceStartType, token.MappingStartType:
			depth++
		case token.SequenceEndType, token.MappingEndType:
			depth--
		case token.SequenceEntryType:
			dashes++
		}
		if depth > maxDepth || dashes > maxDepth {
			return syntaxf(tk, "nested too deeply")
		}
		content = true
	}
	return nil
}

// oneLine escapes what would break or hide a line of output.
func oneLine(s string) string { return strings.Trim(config.Quote(s), `"`) }
