package remotewrite

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/klauspost/compress/snappy"
)

// Series is the values of one metric over time.
type Series struct {
	Name    string
	Labels  map[string]string
	Samples []Sample // by time
}

// Sample is a value at a time.
type Sample struct {
	At    time.Time
	Value float64
}

// samplesMost is how many samples are in one request: receivers bound its size.
const samplesMost = 2000

// sendMost is how long one request takes at most.
const sendMost = 30 * time.Second

// Send sends series to an address, in order, samples of the same time together. User and password of the address are
// those of basic authentication. Errors: the receiver is not there, or does not accept them; it says why.
func Send(ctx context.Context, address string, list []Series) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("address %q: expected http://host:port/api/v1/write", address)
	}
	client := &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment}}
	defer client.CloseIdleConnections()
	for from := 0; ; {
		var body []byte
		n, rest := max(samplesMost/max(len(list), 1), 1), false
		for _, s := range list {
			part := s
			part.Samples = s.Samples[min(from, len(s.Samples)):min(from+n, len(s.Samples))]
			if len(part.Samples) > 0 {
				body = part.append(body)
			}
			rest = rest || len(s.Samples) > from+n
		}
		if len(body) > 0 {
			if err := post(ctx, client, u, body); err != nil {
				return err
			}
		}
		if from += n; !rest {
			return nil
		}
	}
}

func post(ctx context.Context, client *http.Client, u *url.URL, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, sendMost)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(snappy.Encode(nil, body)))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/x-protobuf")
	r.Header.Set("Content-Encoding", "snappy")
	r.Header.Set("X-Prometheus-Remote-Write-Version", "0.1.0")
	r.Header.Set("User-Agent", "weir-bench")
	resp, err := client.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // it was read
	said, _ := io.ReadAll(io.LimitReader(resp.Body, 500))
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s returned status %d: %s", u.Redacted(), resp.StatusCode, bytes.TrimSpace(said))
	}
	return nil
}

// Kinds of fields.
const (
	varint  = 0
	fixed64 = 1
	packed  = 2 // a length, and so many bytes
)

// field begins a field.
func field(dst []byte, number, kind int) []byte {
	return binary.AppendUvarint(dst, uint64(number<<3|kind))
}

// nested appends a field that holds bytes.
func nested(dst []byte, number int, inner []byte) []byte {
	dst = binary.AppendUvarint(field(dst, number, packed), uint64(len(inner)))
	return append(dst, inner...)
}

// append appends a TimeSeries to a WriteRequest. Labels are in the order of their names, as receivers insist on.
func (s Series) append(dst []byte) []byte {
	labels := [][2]string{{"__name__", s.Name}}
	for name, value := range s.Labels {
		labels = append(labels, [2]string{name, value})
	}
	slices.SortFunc(labels, func(a, b [2]string) int { return cmp.Compare(a[0], b[0]) })
	var series []byte
	for _, l := range labels {
		series = nested(series, 1, nested(nested(nil, 1, []byte(l[0])), 2, []byte(l[1])))
	}
	for _, x := range s.Samples {
		sample := binary.LittleEndian.AppendUint64(field(nil, 1, fixed64), math.Float64bits(x.Value))
		sample = binary.AppendUvarint(field(sample, 2, varint), uint64(x.At.UnixMilli()))
		series = nested(series, 2, sample)
	}
	return nested(dst, 1, series)
}
