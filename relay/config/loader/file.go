package loader

import (
	"bytes"
	"errors"
	"io"
	"os"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"weir/relay/config"

	"github.com/goccy/go-yaml"
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

// readYAML reads what the file says into the configuration.
func (l *loader) readYAML(file string, data []byte) {
	at := func(tk *token.Token) Origin {
		o := Origin{Kind: fromFile, Name: file}
		if tk != nil && tk.Position != nil {
			o.Line = tk.Position.Line
		}
		return o
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	switch {
	case len(data) > maxFile:
		l.unreadable(at(nil), "larger than %d KiB: this is no configuration file", maxFile>>10)
		return
	case !utf8.Valid(data) || bytes.IndexByte(data, 0) >= 0:
		l.unreadable(at(nil), "not a text in UTF-8")
		return
	}
	tokens := lexer.Tokenize(string(data))
	if tk, message := checkTokens(tokens); tk != nil {
		l.unreadable(at(tk), "%s", message)
		return
	}
	parsed, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey()) // the decoder reports those, with their paths
	var failed yaml.Error
	switch {
	case errors.As(err, &failed):
		l.unreadable(at(failed.GetToken()), "not valid YAML: %s", oneLine(failed.GetMessage()))
	case err != nil:
		l.unreadable(at(nil), "not valid YAML")
	case len(parsed.Docs) > 0 && parsed.Docs[0].Body != nil:
		(&decoder{l, at}).value(parsed.Docs[0].Body, reflect.ValueOf(&l.Config).Elem(), "")
	}
}

// checkTokens refuses what a configuration does not need and what would make the parser work hard: it returns the token and why.
func checkTokens(tokens token.Tokens) (refused *token.Token, why string) {
	depth, dashes, line, content := 0, 0, 0, false
	for _, tk := range tokens {
		if tk.Type == token.InvalidType {
			if strings.ContainsRune(tk.Value, '\t') {
				return tk, "indented with a tab: expected spaces"
			}
			return tk, "not valid YAML: " + oneLine(tk.Error)
		}
		if tk.Position.Line != line {
			line, dashes = tk.Position.Line, 0
		}
		switch tk.Type {
		case token.CommentType, token.DocumentEndType:
			continue
		case token.DocumentHeaderType:
			if content {
				return tk, "a second document begins here: expected one in a file"
			}
		case token.AnchorType, token.AliasType, token.TagType, token.MergeKeyType, token.MappingKeyType, token.DirectiveType:
			return tk, strconv.Quote(strings.TrimSpace(tk.Value)) +
				": anchors, aliases, tags, merge keys, complex keys and directives of YAML are not supported: write the value out"
		case token.SequenceStartType, token.MappingStartType:
			depth++
		case token.SequenceEndType, token.MappingEndType:
			depth--
		case token.SequenceEntryType:
			dashes++
		}
		if depth > maxDepth || dashes > maxDepth {
			return tk, "nested too deeply"
		}
		content = true
	}
	return nil, ""
}

// oneLine escapes what would break or hide a line of output.
func oneLine(s string) string { return strings.Trim(config.Quote(s), `"`) }
