package replay

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// ErrFormat means that a file is no recording of a version that can be read.
var ErrFormat = errors.New("not a recording of traffic")

const (
	format  = "weir-traffic"
	version = 1
)

// Recording is the shape of traffic.
type Recording struct {
	Started time.Time
	Samples []Sample // the first has who was there when it began
}

// Sample is what happened since the sample before.
type Sample struct {
	At          time.Duration `json:"at"` // since the recording began
	Connections int           `json:"connections"`
	Slow        int           `json:"slow,omitempty"` // connections that did not keep up
	Channels    []Channel     `json:"channels"`
}

// Channel is what happened in a channel.
type Channel struct {
	ID          string         `json:"id"`
	Subscribers int            `json:"subscribers"` // at the end of the sample
	Joins       int            `json:"joins,omitempty"`
	Sizes       map[int]uint64 `json:"sizes,omitempty"` // publications by size
}

type header struct {
	Format  string    `json:"format"`
	Version int       `json:"version"`
	Started time.Time `json:"started"`
}

// Writer writes a recording while it is made.
type Writer struct {
	zip *gzip.Writer
	enc *json.Encoder
}

// NewWriter writes the beginning of a recording.
func NewWriter(w io.Writer, started time.Time) (*Writer, error) {
	out := &Writer{zip: gzip.NewWriter(w)}
	out.enc = json.NewEncoder(out.zip)
	return out, out.enc.Encode(header{format, version, started})
}

// Add writes a sample. It is on its way to the file when Add returns: a recording that is cut short can be read.
func (w *Writer) Add(s Sample) error { return errors.Join(w.enc.Encode(s), w.zip.Flush()) }

// Close ends the recording.
func (w *Writer) Close() error { return w.zip.Close() }

// Limits of what is read, against files that were made to exhaust memory.
const (
	maxSamples = 7 * 24 * 3600
	maxFile    = 4 << 30 // bytes, unpacked
)

// Read reads a recording. What follows a sample that was cut off is left out. Errors wrap ErrFormat.
func Read(src io.Reader) (*Recording, error) {
	zip, err := gzip.NewReader(bufio.NewReader(src))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	dec := json.NewDecoder(io.LimitReader(zip, maxFile))
	var h header
	if err := dec.Decode(&h); err != nil || h.Format != format || h.Version != version {
		return nil, fmt.Errorf("%q version %d, expected %s version %d: %w", h.Format, h.Version, format, version, ErrFormat)
	}
	r := &Recording{Started: h.Started}
	for {
		var s Sample
		err := dec.Decode(&s)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return r, nil
		}
		if err != nil || len(r.Samples) >= maxSamples {
			return nil, fmt.Errorf("sample %d: %w: %w", len(r.Samples)+1, ErrFormat, err)
		}
		if n := len(r.Samples); s.At < 0 || s.Connections < 0 || s.Slow < 0 || n > 0 && s.At <= r.Samples[n-1].At {
			return nil, fmt.Errorf("sample %d: out of order or negative: %w", n+1, ErrFormat)
		}
		r.Samples = append(r.Samples, s)
	}
}
