// Package keyfile reads the files that hold a secret or a key, as editors and shells leave them: a byte order mark at the
// beginning and line ends at the end are not part of what they hold.
package keyfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// errUTF16 is the error for a text in UTF-16, which is what some editors and shells on Windows write.
var errUTF16 = errors.New("it is a text in UTF-16: save it as UTF-8")

// byteOrderMark is U+FEFF in UTF-8 (RFC 3629, section 6).
var byteOrderMark = []byte("\ufeff")

// Read returns what a file holds, of at most so many bytes, and what it has left out, in words; "" if that was one line feed
// at most. Errors are of type *fs.PathError; errUTF16 and those of the file system are within.
func Read(name string, most int) (data []byte, left string, err error) {
	if data, err = read(name, most); err == nil {
		data, left, err = trim(data)
	}
	if _, ok := errors.AsType[*fs.PathError](err); err != nil && !ok {
		err = &fs.PathError{Op: "read", Path: name, Err: err}
	}
	return data, left, err
}

// read refuses what is not a regular file, so that a pipe nobody writes to holds up no start.
func read(name string, most int) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, int64(most)+1))
	if len(data) > most {
		err = fmt.Errorf("more than %d bytes", most)
	}
	return data, err
}

// trim leaves out what is not part of what a file holds. Error: errUTF16.
func trim(data []byte) (rest []byte, left string, err error) {
	if bytes.HasPrefix(data, []byte{0xff, 0xfe}) && len(data)%2 == 0 || bytes.HasPrefix(data, []byte{0xfe, 0xff}) && len(data)%2 == 0 {
		if printable(data[2:]) {
			return nil, "", errUTF16
		}
	}
	var parts []string
	rest, marked := bytes.CutPrefix(data, byteOrderMark)
	if marked {
		parts = append(parts, "a byte order mark at the beginning")
	}
	end := len(rest)
	rest = bytes.TrimRight(rest, "\r\n")
	switch ends := string(data[len(data)-(end-len(rest)):]); {
	case ends == "" || ends == "\n":
	case strings.Contains(ends, "\r"):
		parts = append(parts, "a carriage return at the end")
	default:
		parts = append(parts, "more than one line feed at the end")
	}
	return rest, strings.Join(parts, " and "), nil
}

// printable reports whether every other byte is 0, as in a text of ASCII in UTF-16: a key of random bytes may begin like one.
func printable(data []byte) bool {
	var zeros [2]int
	for i, b := range data {
		if b == 0 {
			zeros[i%2]++
		}
	}
	half := len(data) / 2
	return half > 0 && (zeros[0] == half || zeros[1] == half)
}
