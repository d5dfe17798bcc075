package broker

import "errors"

// The errors of this package. They come wrapped with the operation and the channel.
var (
	ErrClosed          = errors.New("broker is closed")
	ErrNoKey           = errors.New("set and delete need a key")
	ErrOp              = errors.New("unknown operation")
	ErrTTL             = errors.New("negative time to live")
	ErrAck             = errors.New("unknown level of acknowledgement")
	ErrTooManyItems    = errors.New("too many items")
	ErrStateTooLarge   = errors.New("items take too many bytes")
	ErrTooManyChannels = errors.New("too many channels")
	ErrNoChannel       = errors.New("no such channel")
	ErrFull            = errors.New("more than its readers can be told")
	ErrNotJoined       = errors.New("not joined")
	ErrBroken          = errors.New("the channel broke off in the middle of a change and is being read back from disk; try again in some seconds")
)
