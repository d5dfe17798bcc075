package config

import "strings"

// Events is which events clients may emit. Backends may emit all.
type Events struct {
	// Clients are the topics that any client with a token may emit: topics, "page.*" for all that begin so, or
	// "*"; none. Tokens may allow more, as publishing on "event:{topic}", and the systems have topics of their own.
	Clients []string `yaml:"clients"`
}

// Open reports whether any client with a token may emit a topic.
func (e *Events) Open(topic string) bool {
	for _, pattern := range e.Clients {
		if MatchTopic(pattern, topic) {
			return true
		}
	}
	return false
}

// MatchTopic reports whether a topic is one that a pattern means: a topic, "chat.*" for all that begin so, or "*".
func MatchTopic(pattern, topic string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(topic, prefix)
	}
	return pattern == topic
}
