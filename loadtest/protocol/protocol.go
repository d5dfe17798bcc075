package protocol

import (
	"errors"
	"time"
)

// ErrInvalid means that a protocol is not valid; the message says where and what was expected.
var ErrInvalid = errors.New("invalid target")

// Protocol is the target section of a scenario file. A field left out has the value of the default that its comment
// states. Text marked as a template may contain variables in double braces, such as {{channel}}.
type Protocol struct {
	Use string `yaml:"use"` // a preset, or a kind of server that --target takes; the other keys change it

	URL         string            `yaml:"url"`         // where subscribers connect; http://127.0.0.1:8080. A template in its path and query
	Path        string            `yaml:"path"`        // template of the path and query under url, when url does not say it
	Stream      string            `yaml:"stream"`      // what subscribers read: websocket or events (Server-Sent Events); websocket
	Headers     map[string]string `yaml:"headers"`     // templates of further headers of the request that opens a connection
	Cookies     map[string]string `yaml:"cookies"`     // templates of cookies, likewise
	Origin      string            `yaml:"origin"`      // Origin header
	Subprotocol string            `yaml:"subprotocol"` // Sec-WebSocket-Protocol that is asked for; several with commas
	Insecure    bool              `yaml:"insecure"`    // the certificate is not verified
	CA          string            `yaml:"ca"`          // PEM file of certificates to trust instead of the system's

	Vars  map[string]string `yaml:"vars"`  // variables and their values; --var changes them
	Rows  string            `yaml:"rows"`  // CSV file with a header, or file of JSON objects, one a line: {{row.NAME}}; client i has row i, and the first again after the last
	Topic string            `yaml:"topic"` // template: what the server calls a channel; {{channel}}

	Binary    bool       `yaml:"binary"`    // messages are sent as binary frames
	Open      []Step     `yaml:"open"`      // what is sent and waited for after the connection has opened, in order
	Message   Arrival    `yaml:"message"`   // which arriving messages were published, and where in them the payload is
	Refused   []Pattern  `yaml:"refused"`   // messages with which the server says no: the connection has failed
	Answer    []Answer   `yaml:"answer"`    // what has to be answered, such as pings
	Heartbeat *Heartbeat `yaml:"heartbeat"` // what clients send from time to time; nothing
	Publish   Publish    `yaml:"publish"`   // how messages are published
}

// Step is a message that is sent when a connection has opened, and what is waited for then.
type Step struct {
	Send   string            `yaml:"send"`   // template. One that names {{channel}} or {{topic}} is sent once for each channel that the client follows
	Expect *Pattern          `yaml:"expect"` // waits for as many such messages as were sent, or one; without: goes on at once
	Keep   map[string]string `yaml:"keep"`   // variables to take from the message that was waited for: name to path
}

// Pattern is how messages are told apart. All that is given has to hold.
type Pattern struct {
	Text   string         `yaml:"text"`   // template: the whole message is this
	Prefix string         `yaml:"prefix"` // template: the message begins like this; what follows is the JSON of match
	Match  map[string]any `yaml:"match"`  // path to value, a template when it is a text; null: nothing is there. The value "*" is anything but nothing
}

// Arrival is how published messages are found among others, and where their payload is. Either data, or id and stamp.
type Arrival struct {
	Pattern `yaml:",inline"`
	Channel string `yaml:"channel"` // path to the channel, compared with topic; without: the payload says it
	Data    string `yaml:"data"`    // path to the payload, which may be JSON or JSON in a string; the whole message after the prefix
	ID      string `yaml:"id"`      // path to what was published as {{id}}, for servers that do not pass the payload on as it is
	Stamp   string `yaml:"stamp"`   // path to what was published as {{stamp}}; without: part of {{id}}
	Lines   bool   `yaml:"lines"`   // a frame holds several messages, one a line
	Offset  int    `yaml:"offset"`  // bytes before the message in each frame, of binary formats; 0
}

// Answer is what is sent back when a message comes.
type Answer struct {
	When Pattern `yaml:"when"` // the message that is answered
	Send string  `yaml:"send"` // template; {{received.PATH}} is a value of the message that is answered
}

// Heartbeat is a message that every client sends from time to time.
type Heartbeat struct {
	Every time.Duration `yaml:"every"` // time between two messages; 30s
	Send  string        `yaml:"send"`  // template of the message
}

// Publish is how messages are published: over HTTP, or over a WebSocket such as clients have. One of the two.
type Publish struct {
	URL     string            `yaml:"url"`     // where to publish: http, https, or a path under the target's url, with a template in path and query; the address of subscribers
	Method  string            `yaml:"method"`  // method of the request; POST
	Headers map[string]string `yaml:"headers"` // templates of headers; Content-Type: application/json, where the body begins like JSON
	Body    string            `yaml:"body"`    // template of the body; none with the methods GET, HEAD and DELETE
	Item    string            `yaml:"item"`    // template of one message among several, where body has {{items}}
	Between string            `yaml:"between"` // text between two of them
	Batch   int               `yaml:"batch"`   // messages in one request at most; 1, with item 1000
	Status  []int             `yaml:"status"`  // statuses that mean accepted; 200 to 299
	Accept  map[string]any    `yaml:"accept"`  // what the response's JSON has to hold as well: path to value

	Send string `yaml:"send"` // template: what is sent over a WebSocket instead of a request
	Open []Step `yaml:"open"` // what the publisher does first, for every channel; as subscribers do
}

// WebSocket reports whether messages are published over a WebSocket.
func (p *Publish) WebSocket() bool { return p.Send != "" }

// The values of Protocol.Stream.
const (
	StreamWebSocket = "websocket"
	StreamEvents    = "events"
)

// plain is a Protocol that is read without looking at use.
type plain Protocol

// UnmarshalYAML reads a protocol: a name, which is use, or a section, whose keys change what use names.
func (p *Protocol) UnmarshalYAML(decode func(any) error) error {
	var name string
	if decode(&name) == nil {
		*p = Protocol{Use: name}
		return p.inherit(func(any) error { return nil })
	}
	var own plain
	if err := decode(&own); err != nil {
		return err
	}
	*p = Protocol(own)
	return p.inherit(decode)
}

// inherit lays what decode reads over the preset that it names.
func (p *Protocol) inherit(decode func(any) error) error {
	base, err := Preset(p.Use)
	if err != nil || base == nil {
		return nil // a kind of server with a name of its own, or none; others are refused where kinds are known
	}
	base.Use = p.Use
	vars := base.Vars
	own := plain(*base)
	own.Vars = nil
	if err := decode(&own); err != nil {
		return err
	}
	for name, value := range vars {
		if _, ok := own.Vars[name]; !ok {
			if own.Vars == nil {
				own.Vars = map[string]string{}
			}
			own.Vars[name] = value
		}
	}
	own.Use = p.Use
	*p = Protocol(own)
	return nil
}
