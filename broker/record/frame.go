package record

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
)

// A frame is a batch in the log: a header, and the records. The header is a magic, the length of the records, the number
// of the batch, the seal of the batch before, a checksum of the records, and the seal: a checksum of all these, begun with
// the directory's salt, so that no publisher can make one. A header that is whole proves more than its own batch: it is
// written when the batch before is on disk, and not earlier.
const (
	FrameMagic  = "WRF2"
	FrameHeader = 4 + 4 + 8 + 4 + 4 + 4
	mostFrame   = 1 << 30 // bytes of records; anything longer is damage

	// In version 1 there was neither a seal of the batch before nor one of the header.
	OldMagic  = "WRF1"
	oldHeader = 4 + 4 + 8 + 4
)

// Frame is a batch as it stands in the log.
type Frame struct {
	Number  uint64
	Seal    uint32
	Before  uint32 // seal of the batch before; of version 1: 0
	Old     bool   // it is of version 1
	Bytes   []byte // header and records
	Records []byte
}

// PutHeader fills in the header of a frame, whose records follow it, and returns its seal.
func PutHeader(b []byte, number uint64, before, salt uint32) (seal uint32) {
	copy(b, FrameMagic)
	binary.LittleEndian.PutUint32(b[4:], uint32(len(b)-FrameHeader))
	binary.LittleEndian.PutUint64(b[8:], number)
	binary.LittleEndian.PutUint32(b[16:], before)
	binary.LittleEndian.PutUint32(b[20:], crc32.Checksum(b[FrameHeader:], Castagnoli))
	seal = crc32.Update(salt, Castagnoli, b[:24])
	binary.LittleEndian.PutUint32(b[24:], seal)
	return seal
}

// readFrameHeader reads the header at the beginning of b, which may be all there is. size is that of the records.
func readFrameHeader(b []byte, salt uint32) (f Frame, size int64, ok bool) {
	if len(b) < FrameHeader || string(b[:4]) != FrameMagic {
		return f, 0, false
	}
	f = Frame{Number: binary.LittleEndian.Uint64(b[8:]), Seal: binary.LittleEndian.Uint32(b[24:]), Before: binary.LittleEndian.Uint32(b[16:])}
	size = int64(binary.LittleEndian.Uint32(b[4:]))
	return f, size, size <= mostFrame && f.Seal == crc32.Update(salt, Castagnoli, b[:24])
}

// CutFrame returns the frame at the beginning of b.
func CutFrame(b []byte, salt uint32) (f Frame, rest []byte, ok bool) {
	if bytes.HasPrefix(b, []byte(OldMagic)) {
		return cutOldFrame(b)
	}
	f, size, ok := readFrameHeader(b, salt)
	end := FrameHeader + size
	if !ok || end > int64(len(b)) || crc32.Checksum(b[FrameHeader:end], Castagnoli) != binary.LittleEndian.Uint32(b[20:]) {
		return f, b, false
	}
	f.Bytes, f.Records = b[:end:end], b[FrameHeader:end:end]
	return f, b[end:], true
}

func cutOldFrame(b []byte) (f Frame, rest []byte, ok bool) {
	if len(b) < oldHeader {
		return f, b, false
	}
	size := int64(binary.LittleEndian.Uint32(b[4:]))
	if size > mostFrame || size > int64(len(b)-oldHeader) {
		return f, b, false
	}
	end := oldHeader + int(size)
	f = Frame{Number: binary.LittleEndian.Uint64(b[8:]), Seal: binary.LittleEndian.Uint32(b[16:]), Old: true, Bytes: b[:end:end], Records: b[oldHeader:end:end]}
	return f, b[end:], crc32.Update(crc32.Checksum(b[:16], Castagnoli), Castagnoli, b[oldHeader:end]) == f.Seal
}

// Proven is up to which batch a piece of the log proves that all were on disk, though it cannot be read from its
// beginning on: each header in it that is whole was written after the batch before was safe. Of version 1 only whole
// frames count, and only in files of that version.
func Proven(b []byte, salt uint32, old bool) (number uint64) {
	magic := FrameMagic
	if old {
		magic = OldMagic
	}
	for {
		i := bytes.Index(b, []byte(magic))
		if i < 0 {
			return number
		}
		var f Frame
		var ok bool
		if old {
			f, _, ok = cutOldFrame(b[i:])
		} else {
			f, _, ok = readFrameHeader(b[i:], salt)
		}
		if ok && f.Number > 0 {
			number = max(number, f.Number-1)
		}
		b = b[i+1:]
	}
}
