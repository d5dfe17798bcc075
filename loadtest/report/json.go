package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"weir/loadtest/record"
)

// ErrFile means that a file is neither a report's JSON nor a record.
var ErrFile = errors.New("neither a report in JSON nor a recorded run")

// JSON writes the result, indented.
func (res *Result) JSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(res)
}

// fileMost bounds a JSON report that is read, in bytes.
const fileMost = 64 << 20

// ReadFile reads a report's JSON, or reports a recorded run. Errors wrap ErrFile when the content is
// at fault.
func ReadFile(name string) (*Result, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read result: %w", err)
	}
	defer func() { _ = f.Close() }() // only read
	var magic [2]byte
	if _, err := io.ReadFull(f, magic[:]); err != nil {
		return nil, fmt.Errorf("read result: %s: %w", name, ErrFile)
	}
	rest := io.MultiReader(bytes.NewReader(magic[:]), f)
	if magic == [2]byte{0x1f, 0x8b} {
		r, err := record.Read(rest)
		if err != nil {
			return nil, fmt.Errorf("%s: %w: %w", name, ErrFile, err)
		}
		return New(r), nil
	}
	res := &Result{}
	if err := json.NewDecoder(io.LimitReader(rest, fileMost)).Decode(res); err != nil || res.Target == "" {
		return nil, fmt.Errorf("read result: %s: %w", name, ErrFile)
	}
	return res, nil
}
