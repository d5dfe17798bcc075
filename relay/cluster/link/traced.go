package link

import "weir/broker"

// Traced is called before a change that belongs to a trace is made for another process, or follows from its owner. The function that it
// returns, unless that is nil, is called with the position of the change, or with the error why it was not made. A nil Traced traces nothing.
type Traced func(channel, parent string) func(at broker.Position, err error)

// Of calls Traced for a change that may belong to no trace: parent is "" then. The caller always calls what it returns.
func (t Traced) Of(channel, parent string) func(at broker.Position, err error) {
	if parent != "" && t != nil {
		if told := t(channel, parent); told != nil {
			return told
		}
	}
	return func(broker.Position, error) {}
}
