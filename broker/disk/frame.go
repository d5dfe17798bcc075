package disk

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
)

// A frame is a batch in the log: a magic, the length of its records, the number of the batch, a checksum
// of all of these, and the records.
const (
	frameMagic  = "WRF1"
	frameHeader = 4 + 4 + 8 + 4
	mostFrame   = 1 << 30 // bytes of records; anything longer is damage
)

// putHeader fills in the header of a frame, whose records follow it.
func putHeader(frame []byte, number uint64) {
	copy(frame, frameMagic)
	binary.LittleEndian.PutUint32(frame[4:], uint32(len(frame)-frameHeader))
	binary.LittleEndian.PutUint64(frame[8:], number)
	binary.LittleEndian.PutUint32(frame[16:], frameSum(frame))
}

func frameSum(frame []byte) uint32 {
	return crc32.Update(crc32.Checksum(frame[:16], castagnoli), castagnoli, frame[frameHeader:])
}

// cutFrame answers the frame at the beginning of b.
func cutFrame(b []byte) (number uint64, records, rest []byte, ok bool) {
	if len(b) < frameHeader || string(b[:4]) != frameMagic {
		return 0, nil, b, false
	}
	size := int64(binary.LittleEndian.Uint32(b[4:]))
	if size > mostFrame || size > int64(len(b)-frameHeader) {
		return 0, nil, b, false
	}
	end := frameHeader + int(size)
	if frameSum(b[:end]) != binary.LittleEndian.Uint32(b[16:]) {
		return 0, nil, b, false
	}
	return binary.LittleEndian.Uint64(b[8:]), b[frameHeader:end], b[end:], true
}

// holdsFrame says whether there is a frame anywhere in b with a number beyond the given one. Frames are
// written one after the other, each after the one before is safe: behind a torn one there is none.
func holdsFrame(b []byte, beyond uint64) bool {
	for {
		i := bytes.Index(b, []byte(frameMagic))
		if i < 0 {
			return false
		}
		if number, _, _, ok := cutFrame(b[i:]); ok && number > beyond {
			return true
		}
		b = b[i+1:]
	}
}
