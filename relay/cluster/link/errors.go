package link

import (
	"errors"
	"strconv"

	"weir/broker"
	"weir/relay/problem"
)

// ErrNoOwner means that a process does not own the channel that it was asked about.
var ErrNoOwner error = problem.Unavailable.With("the node that owns the channel cannot be reached: try again in a moment")

// errorCodes are the errors that keep their meaning on their way, by their place.
var errorCodes = []error{
	nil, ErrNoOwner, broker.ErrClosed, broker.ErrNoKey, broker.ErrOp, broker.ErrTTL, broker.ErrTooManyItems, broker.ErrStateTooLarge,
	broker.ErrTooManyChannels, broker.ErrFull, broker.ErrBroken, broker.ErrNoChannel, problem.Storage, problem.TooLarge,
	broker.ErrText, broker.ErrNotText, broker.ErrHalf, broker.ErrItemTooLarge, problem.Overloaded,
}

// codeOffset is the code of a broker.OffsetError; its text says which offset is right.
const codeOffset = 64

// CodeNoOwner is the code of ErrNoOwner.
const CodeNoOwner = 1

// ErrorCode returns the code of an error and its text; code 0 if it has none.
func ErrorCode(err error) (code uint64, text string) {
	for i, known := range errorCodes[1:] {
		if errors.Is(err, known) {
			return uint64(i + 1), ""
		}
	}
	var offset *broker.OffsetError
	if errors.As(err, &offset) {
		return codeOffset, strconv.FormatUint(offset.Want, 10)
	}
	switch problem.Of(err).Code { // whatever it says
	case problem.Storage.Code:
		return ErrorCode(problem.Storage)
	case problem.TooLarge.Code:
		return ErrorCode(problem.TooLarge)
	}
	return 0, err.Error()
}

// CodedError returns the error for a code and a text of a record.
func CodedError(code uint64, text string) error {
	if code > 0 && code < uint64(len(errorCodes)) {
		return errorCodes[code]
	}
	if n, err := strconv.ParseUint(text, 10, 64); code == codeOffset && err == nil {
		return &broker.OffsetError{Want: n}
	}
	return errors.New("error of another node: " + text)
}
