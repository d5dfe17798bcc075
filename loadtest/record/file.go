package record

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// errFormat means that a file is not a whole record of a version that can be read.
var errFormat = errors.New("not a record of a run")

const format = "weir-run"

// line is one line of the file: exactly one field is set.
type line struct {
	Header  *Header  `json:"header,omitempty"`
	Bucket  *Bucket  `json:"bucket,omitempty"`
	Conn    *Conn    `json:"conn,omitempty"`
	Channel *Channel `json:"channel,omitempty"`
	End     *End     `json:"end,omitempty"`
}

// Write writes the record.
func (r *Record) Write(w io.Writer) error {
	zip := gzip.NewWriter(w)
	enc := json.NewEncoder(zip)
	r.Header.Format, r.Header.Version = format, version
	err := enc.Encode(line{Header: &r.Header})
	for i := range r.Buckets {
		err = errors.Join(err, enc.Encode(line{Bucket: &r.Buckets[i]}))
	}
	for i := range r.Conns {
		err = errors.Join(err, enc.Encode(line{Conn: &r.Conns[i]}))
	}
	for i := range r.Channels {
		err = errors.Join(err, enc.Encode(line{Channel: &r.Channels[i]}))
	}
	if err = errors.Join(err, enc.Encode(line{End: &r.End}), zip.Close()); err != nil {
		return fmt.Errorf("write record: %w", err)
	}
	return nil
}

// WriteFile writes the record to a new file, or over an old one.
func (r *Record) WriteFile(name string) error {
	f, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("write record: %w", err)
	}
	w := bufio.NewWriter(f)
	return errors.Join(r.Write(w), w.Flush(), f.Close())
}

// Limits of what is read, against files that were made to exhaust memory.
const (
	maxLines = 5_000_000
	maxFile  = 4 << 30 // bytes, unpacked
)

// Read reads a record. Errors wrap errFormat when the content is at fault.
func Read(src io.Reader) (*Record, error) {
	zip, err := gzip.NewReader(src)
	if err != nil {
		return nil, fmt.Errorf("read record: %w: %w", errFormat, err)
	}
	dec := json.NewDecoder(io.LimitReader(zip, maxFile))
	r := &Record{}
	ended := false
	for n := 0; !ended; n++ {
		var l line
		if err := dec.Decode(&l); err != nil || n > maxLines {
			return nil, fmt.Errorf("read record: line %d: %w: %w", n+1, errFormat, err)
		}
		switch {
		case (n == 0) != (l.Header != nil):
			return nil, fmt.Errorf("read record: line %d: the header belongs on the first line: %w", n+1, errFormat)
		case l.Header != nil:
			if r.Header = *l.Header; r.Header.Format != format || r.Header.Version != version {
				return nil, fmt.Errorf("read record: %q version %d, expected version %d: %w", r.Header.Format, r.Header.Version, version, errFormat)
			}
		case l.Bucket != nil:
			r.Buckets = append(r.Buckets, *l.Bucket)
		case l.Conn != nil:
			r.Conns = append(r.Conns, *l.Conn)
		case l.Channel != nil:
			r.Channels = append(r.Channels, *l.Channel)
		case l.End != nil:
			r.End, ended = *l.End, true
		}
	}
	return r, nil
}
