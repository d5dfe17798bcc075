package protocol

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
)

// rowsMost bounds how much a file of rows holds: it is kept in memory.
const rowsMost = 256 << 20

// readRows reads a CSV file whose first line names the columns, or JSON objects, one a line. The members of an object that
// are no texts are kept as JSON.
func readRows(name string) ([]map[string]string, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("target.rows: %w", err)
	}
	if info.Size() > rowsMost {
		return nil, fmt.Errorf("target.rows: %s: %d bytes: expected %d at most: %w", name, info.Size(), rowsMost, ErrInvalid)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("target.rows: %w", err)
	}
	b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
	read := readCSV
	if bytes.HasPrefix(bytes.TrimSpace(b), []byte("{")) {
		read = readObjects
	}
	rows, err := read(b)
	if err == nil && len(rows) == 0 {
		err = fmt.Errorf("expected one row or more")
	}
	if err != nil {
		return nil, fmt.Errorf("target.rows: %s: %w: %w", name, err, ErrInvalid)
	}
	return rows, nil
}

func readCSV(b []byte) (rows []map[string]string, err error) {
	list, err := csv.NewReader(bytes.NewReader(b)).ReadAll()
	if err != nil || len(list) == 0 {
		return nil, err
	}
	for _, fields := range list[1:] {
		row := make(map[string]string, len(fields))
		for i, name := range list[0] {
			row[name] = fields[i]
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func readObjects(b []byte) (rows []map[string]string, err error) {
	lines := bufio.NewScanner(bytes.NewReader(b))
	lines.Buffer(nil, rowsMost)
	for n := 1; lines.Scan(); n++ {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		var object map[string]json.RawMessage
		if err := json.Unmarshal(lines.Bytes(), &object); err != nil {
			return nil, fmt.Errorf("line %d: expected a JSON object: %w", n, err)
		}
		row := make(map[string]string, len(object))
		for name, raw := range object {
			text, _ := Text(raw)
			row[name] = string(text)
		}
		rows = append(rows, row)
	}
	return rows, lines.Err()
}
