package link

// Standing is the position of a replica, and the term that it is of.
type Standing struct {
	Channel string `json:"channel"`
	Epoch   string `json:"epoch"`
	Seq     uint64 `json:"seq"`
	Term    uint64 `json:"term"`
}

// Newer reports whether a is ahead of b.
func (a Standing) Newer(b Standing) bool {
	if a.Term != b.Term {
		return a.Term > b.Term
	}
	return a.Seq > b.Seq
}
