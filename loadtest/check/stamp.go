package check

import (
	"errors"
	"fmt"
	"hash/crc32"
	"math/bits"
	"strconv"
)

// MinSize is the smallest payload, in bytes, that holds any usual stamp. A stamp that does not fit
// the size asked for is as long as it must be; maxStamp is the longest.
const (
	MinSize  = 64
	maxStamp = 96
)

// ErrCorrupt means that a payload is not a stamp, or that its CRC does not match what it says.
var ErrCorrupt = errors.New("payload is not an intact stamp")

// Stamp identifies one published message: the payload carries nothing else.
type Stamp struct {
	Channel uint32 // number of the channel
	Source  uint32 // number of the publisher: order is promised within one source and channel
	Number  uint64 // 1, 2, 3... within the source and channel
	Due     int64  // ns since the run's clock started at which the message was due
}

const digits = "0123456789abcdef"

// filler is what payloads are padded with: no character of it needs escaping in JSON, and it changes
// from byte to byte so that a shifted or truncated payload fails its CRC.
var filler = func() (b [4096]byte) {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
	for i := range b {
		b[i] = letters[(i*7+i/64)%len(letters)]
	}
	return b
}()

// castagnoli has hardware support on the usual processors.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Append appends the stamp as a JSON object of exactly size bytes, or of as many as it needs when that
// is more: {"c":0,"s":0,"n":1,"t":123,"x":"89abcdef<padding>"}, where the string is the CRC-32C in
// hexadecimal and then the padding. The CRC covers the values and not their spelling, so that a relay may
// reformat the object but not change it.
func (s Stamp) Append(dst []byte, size int) []byte {
	start := len(dst)
	dst = append(dst, `{"c":`...)
	dst = strconv.AppendUint(dst, uint64(s.Channel), 10)
	dst = append(dst, `,"s":`...)
	dst = strconv.AppendUint(dst, uint64(s.Source), 10)
	dst = append(dst, `,"n":`...)
	dst = strconv.AppendUint(dst, s.Number, 10)
	dst = append(dst, `,"t":`...)
	dst = strconv.AppendInt(dst, s.Due, 10)
	dst = append(dst, `,"x":"`...)
	hole := len(dst)
	dst = append(dst, "00000000"...)
	for pad := size - (len(dst) - start) - 2; pad > 0; {
		n := min(pad, len(filler))
		dst = append(dst, filler[:n]...)
		pad -= n
	}
	sum := s.sum(dst[hole+8:])
	for i := range 8 {
		dst[hole+i] = digits[bits.RotateLeft32(sum, 4*(i+1))&15]
	}
	return append(dst, `"}`...)
}

// sum is the CRC of the padding, begun with a hash of the stamp's values. (A CRC of the values too would
// have to put them into memory, 24 bytes for every message.)
func (s Stamp) sum(padding []byte) uint32 {
	const prime = 0x9e3779b97f4a7c15
	h := (uint64(s.Channel)<<32|uint64(s.Source))*prime ^ s.Number
	h = bits.RotateLeft64(h*prime, 31) ^ uint64(s.Due)
	h = bits.RotateLeft64(h*prime, 29) * prime
	return crc32.Update(uint32(h>>32)^uint32(h), castagnoli, padding)
}

// Parse reads a stamp back. Any order of fields and any white space are accepted; anything else than
// an intact stamp is ErrCorrupt.
func Parse(payload []byte) (Stamp, error) {
	var s Stamp
	p := object{b: payload}
	var text []byte
	seen := 0
	for p.field() {
		switch p.name {
		case 'c':
			s.Channel = uint32(p.number(1<<32 - 1))
		case 's':
			s.Source = uint32(p.number(1<<32 - 1))
		case 'n':
			s.Number = p.number(1<<64 - 1)
		case 't':
			s.Due = int64(p.number(1<<63 - 1))
		case 'x':
			text = p.text()
		default:
			p.fail()
		}
		seen++
	}
	if p.bad || seen != 5 || len(text) < 8 {
		return Stamp{}, fmt.Errorf("parse stamp: %w", ErrCorrupt)
	}
	var sum uint32
	for _, c := range text[:8] {
		switch {
		case c >= '0' && c <= '9':
			sum = sum<<4 | uint32(c-'0')
		case c >= 'a' && c <= 'f':
			sum = sum<<4 | uint32(c-'a'+10)
		default:
			return Stamp{}, fmt.Errorf("parse stamp: %w", ErrCorrupt)
		}
	}
	if sum != s.sum(text[8:]) {
		return Stamp{}, fmt.Errorf("parse stamp %d of source %d in channel %d: crc: %w", s.Number, s.Source, s.Channel, ErrCorrupt)
	}
	return s, nil
}
