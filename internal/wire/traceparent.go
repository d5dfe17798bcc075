package wire

// ValidTraceparent reports whether a text is a traceparent of W3C Trace Context, section 3.2: version, trace, parent and flags, in lower case; neither
// trace nor parent is all zeros. Later versions may have more behind these.
func ValidTraceparent[T string | []byte](s T) bool {
	const length = len("00-00000000000000000000000000000000-0000000000000000-00")
	if len(s) < length || len(s) > 128 || len(s) > length && (s[0] == '0' && s[1] == '0' || s[length] != '-') || s[0] == 'f' && s[1] == 'f' {
		return false
	}
	var trace, parent byte
	for i := range length {
		c := s[i]
		switch {
		case i == 2 || i == 35 || i == 52:
			if c != '-' {
				return false
			}
		case (c < '0' || c > '9') && (c < 'a' || c > 'f'):
			return false
		case i > 2 && i < 35:
			trace |= c - '0'
		case i > 35 && i < 52:
			parent |= c - '0'
		}
	}
	return trace != 0 && parent != 0
}
