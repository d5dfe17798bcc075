package relay

// Events says who may emit what, beside backends, which may emit everything.
type Events struct {
	// Clients are the topics that any client with a token may emit: topics, "page.*" for all that begin so, or
	// "*"; none. Tokens may allow more, as publishing on "event:{topic}", and the systems have topics of their own.
	Clients []string `yaml:"clients"`
}

// open says whether any client with a token may emit a topic.
func (e *Events) open(topic string) bool {
	for _, pattern := range e.Clients {
		if MatchTopic(pattern, topic) {
			return true
		}
	}
	return false
}
