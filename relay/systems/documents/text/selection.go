package text

import (
	"strconv"

	"weir/internal/wire"
)

// Selection is the part of a text that is selected, in code points. Start may lie behind End: where one began.
type Selection struct {
	Start int `json:"start"`
	End   int `json:"end"`
}

// Move returns the selection as it is after an operation of somebody else.
func (s Selection) Move(op Op) Selection { return Selection{op.Move(s.Start), op.Move(s.End)} }

// ParsePosition reads a number of code points; false if it is none.
func ParsePosition(v []byte) (int, bool) {
	n, err := strconv.Atoi(string(v))
	return n, err == nil && n >= 0 && n <= maxLength
}

// ParseSelection reads {"start":...,"end":...}; false if it is none.
func ParseSelection(v []byte) (s Selection, ok bool) {
	start, end := false, false
	err := wire.Members(v, func(key string, v []byte) error {
		switch key {
		case "start":
			s.Start, start = ParsePosition(v)
		case "end":
			s.End, end = ParsePosition(v)
		}
		return nil
	})
	return s, err == nil && start && end
}
