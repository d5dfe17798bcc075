package codec

// SmallFrame is the largest data frame whose payload Skim shows: room for the pings that some
// protocols send as messages ("{}", {"event":"pusher:ping","data":{}}).
const SmallFrame = 64

// Skim follows frame boundaries without looking at payloads, so that the bytes between two heads can
// be thrown away unread. The zero value is ready.
type Skim struct {
	Frames  uint64 // data frames whose payload has arrived in full
	Payload uint64 // bytes of the payloads of data frames, as they arrive
	Order   uint64 // hash over the sizes of the data frames, in order

	skip    int    // bytes of the present payload still to come
	isData  bool   // the present payload belongs to a data frame
	partial []byte // an incomplete head, or a frame that is shown whole
	Control func(op byte, payload []byte) error
	Small   func(payload []byte) error // data frames of up to SmallFrame bytes
	Large   bool                       // only larger data frames are counted
}

// Skip is how many bytes of payload follow that need not be read: they may be discarded and reported
// with Discarded.
func (s *Skim) Skip() int { return s.skip }

// Discarded notes that n bytes, at most Skip, were thrown away.
func (s *Skim) Discarded(n int) {
	s.skip -= n
	if s.isData {
		s.Payload += uint64(n)
		if s.skip == 0 {
			s.Frames++
		}
	}
}

// Feed takes bytes that were read.
func (s *Skim) Feed(b []byte) error {
	for len(b) > 0 {
		if s.skip > 0 {
			n := min(s.skip, len(b))
			s.Discarded(n)
			b = b[n:]
			continue
		}
		from := b
		if len(s.partial) > 0 {
			s.partial = append(s.partial, b...)
			from = s.partial
		}
		n, ok, err := s.head(from)
		if err != nil {
			return err
		}
		if !ok {
			if len(s.partial) == 0 {
				s.partial = append(s.partial, b...)
			}
			return nil
		}
		b = b[n-(len(from)-len(b)):]
		s.partial = s.partial[:0]
	}
	return nil
}

// head handles the frame head at the start of b, and the payload too when it is shown, and says how
// many bytes it took. partial never holds more than a head and a small payload less one byte, so what
// is taken always ends in the bytes fed last.
func (s *Skim) head(b []byte) (n int, ok bool, err error) {
	h, ok, err := parseHeader(b)
	if !ok || err != nil {
		return 0, false, err
	}
	data := h.op < OpClose
	if data && h.len > SmallFrame {
		s.count(h.len)
		s.skip, s.isData = h.len, true
		return h.size, true, nil
	}
	if len(b) < h.size+h.len {
		return 0, false, nil
	}
	payload := b[h.size : h.size+h.len]
	switch {
	case data:
		if !s.Large {
			s.Saw(h.len)
		}
		if s.Small != nil {
			err = s.Small(payload)
		}
	case s.Control != nil:
		err = s.Control(h.op, payload)
	}
	return h.size + h.len, true, err
}

// Saw notes a data frame that something else decoded.
func (s *Skim) Saw(size int) {
	s.count(size)
	s.Frames++
	s.Payload += uint64(size)
}

func (s *Skim) count(size int) { s.Order = mix(s.Order, size) }

// mix takes a frame's size into a hash over sizes (FNV-1a over whole sizes).
func mix(hash uint64, size int) uint64 {
	if hash == 0 {
		hash = 14695981039346656037
	}
	return (hash ^ uint64(size)) * 1099511628211
}
