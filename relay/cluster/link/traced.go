package link

import "weir/broker"

// Traced is called before a change that belongs to a trace is made for another process, or followed from its owner. What it returns, unless that is nil,
// is called with where the change stands, or why it is not made. nil: nothing is traced here.
type Traced func(channel, parent string) func(at broker.Position, err error)

// Of is Traced of a change that may belong to no trace: parent is "" then. What it returns is to be called.
func (t Traced) Of(channel, parent string) func(at broker.Position, err error) {
	if parent != "" && t != nil {
		if told := t(channel, parent); told != nil {
			return told
		}
	}
	return func(broker.Position, error) {}
}
