package relay

import (
	"time"

	"weir/pool"
)

// owner is that of a connection from which nothing is read.
type owner struct{}

func (owner) Tail(dst []byte, _ *pool.Topic, _ *pool.Frame) []byte { return dst }
func (owner) Slow()                                                {}
func (owner) Missed()                                              {}
func (owner) Resync(*pool.Topic)                                   {}
func (owner) Readable()                                            {}
func (owner) Heartbeat(time.Time)                                  {}
func (owner) Check(time.Time)                                      {}
