package broker

import "errors"

// The errors of this package. They come wrapped with the operation and the channel.
var (
	ErrClosed          = errors.New("broker is closed")
	ErrNoKey           = errors.New("set, delete and append need a key")
	ErrText            = errors.New("data of an append must be a string")
	ErrNotText         = errors.New("the item is not text: append requires a string")
	ErrHalf            = errors.New("with an offset, data must not begin with the second half of a surrogate pair")
	ErrItemTooLarge    = errors.New("the item would be too large")
	ErrOp              = errors.New("unknown operation")
	ErrTTL             = errors.New("time to live must not be negative")
	ErrAck             = errors.New("unknown acknowledgement level: it must be AckDefault or AckMemory")
	ErrTooManyItems    = errors.New("limit reached: too many items")
	ErrStateTooLarge   = errors.New("limit reached: items take too many bytes")
	ErrTooManyChannels = errors.New("limit reached: too many channels")
	ErrNoChannel       = errors.New("no such channel")
	ErrFull            = errors.New("limit reached: too much waits for its subscribers")
	ErrUsed            = errors.New("the channel is in use")
	ErrNotJoined       = errors.New("not joined")
	ErrBroken          = errors.New("a change of the channel was interrupted and it is being loaded from disk: try again in some seconds")
)
