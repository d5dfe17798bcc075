package scenario

import (
	"errors"
	"fmt"
	"time"

	"weir/loadtest/protocol"
)

// Action is one step of what each user does, in order. Of its keys, one says what is done; connect, disconnect,
// subscribe and publish may be written as a word alone.
type Action struct {
	Name string `yaml:"name"` // name of the step in the report; what it does

	Connect    bool          `yaml:"connect"`    // opens the user's connection
	Disconnect bool          `yaml:"disconnect"` // closes the user's connection
	Subscribe  int           `yaml:"subscribe"`  // follows so many more channels
	Publish    int           `yaml:"publish"`    // publishes so many messages to the channels it follows, in turn; to one of the test if it follows none
	Send       string        `yaml:"send"`       // sends a message, a template as in target.open
	WaitFor    *Awaited      `yaml:"wait-for"`   // waits for messages; others that come meanwhile are read
	Sleep      time.Duration `yaml:"sleep"`      // waits for so long; messages that come are read
	Repeat     int           `yaml:"repeat"`     // does its steps so often
	Steps      []Action      `yaml:"steps"`      // the steps of repeat
}

// Awaited is what a user waits for. One of its first three keys.
type Awaited struct {
	Own      bool              `yaml:"own"`      // all messages that the user has published to channels that it follows
	Messages int               `yaml:"messages"` // so many messages of its channels, counted from when it last waited for them
	Message  *protocol.Pattern `yaml:"message"`  // a message of this pattern, of any kind, since the user last sent something
	Timeout  time.Duration     `yaml:"timeout"`  // how long it waits; then the user's run has failed; 10s
}

// Most is how many steps a script may take in one run, those of repetitions counted.
const mostActions = 100_000

type plainAction Action

// UnmarshalYAML reads a word, or the keys.
func (a *Action) UnmarshalYAML(decode func(any) error) error {
	var word string
	if decode(&word) == nil {
		switch word {
		case "connect":
			a.Connect = true
		case "disconnect":
			a.Disconnect = true
		case "subscribe":
			a.Subscribe = 1
		case "publish":
			a.Publish = 1
		default:
			return fmt.Errorf("script: %q: expected connect, disconnect, subscribe or publish, or a key: %w", word, ErrInvalid)
		}
		return nil
	}
	var own plainAction
	if err := decode(&own); err != nil {
		return err
	}
	*a = Action(own)
	return nil
}

// Verb is what the action does, in a word.
func (a *Action) Verb() string {
	switch {
	case a.Connect:
		return "connect"
	case a.Disconnect:
		return "disconnect"
	case a.Subscribe > 0:
		return "subscribe"
	case a.Publish > 0:
		return "publish"
	case a.Send != "":
		return "send"
	case a.WaitFor != nil:
		return "wait-for"
	case a.Sleep > 0:
		return "sleep"
	}
	return "repeat"
}

// Title is what the report calls the action.
func (a *Action) Title() string {
	if a.Name != "" {
		return a.Name
	}
	return a.Verb()
}

// checkScript checks the actions of a scenario.
func (s Scenario) checkScript() error {
	if len(s.Script) == 0 {
		if s.Measure == Script {
			return fmt.Errorf("measure: script: expected a script beside it: %w", ErrInvalid)
		}
		return nil
	}
	if s.System != "" || s.Keys > 0 || s.Typing > 0 || s.Presence || s.Churn > 0 || s.Paced() || s.Batch > 1 || s.Subscribers < 1 {
		return fmt.Errorf("script: expected subscribers, and no system, keys, typing, presence, churn, batch, closed or think beside it: %w", ErrInvalid)
	}
	for i, st := range s.Stages {
		if st.Slow > 0 || st.Herd {
			return fmt.Errorf("stages[%d]: slow or herd: expected neither beside a script: %w", i, ErrInvalid)
		}
	}
	open := false
	if n, err := checkActions("script", s.Script, &open, s.Channels); err != nil {
		return fmt.Errorf("%w: %w", err, ErrInvalid)
	} else if n > mostActions {
		return fmt.Errorf("script: %d steps: expected up to %d, those of repetitions counted: %w", n, mostActions, ErrInvalid)
	}
	return nil
}

// checkActions returns how many actions one run takes.
func checkActions(at string, list []Action, open *bool, channels int) (n int, err error) {
	followed := 0
	for i := range list {
		a, at := &list[i], fmt.Sprintf("%s[%d]", at, i)
		given := 0
		for _, is := range []bool{a.Connect, a.Disconnect, a.Subscribe != 0, a.Publish != 0, a.Send != "", a.WaitFor != nil, a.Sleep != 0, a.Repeat != 0} {
			if is {
				given++
			}
		}
		n++
		switch {
		case given != 1:
			return n, fmt.Errorf("%s: expected one of connect, disconnect, subscribe, publish, send, wait-for, sleep and repeat", at)
		case (a.Repeat != 0) != (len(a.Steps) > 0):
			return n, fmt.Errorf("%s: expected repeat and steps beside each other", at)
		case a.Connect == *open && (a.Connect || a.Disconnect || a.Subscribe > 0 || a.Send != "" || a.WaitFor != nil):
			if a.Connect {
				return n, fmt.Errorf("%s: connect: expected disconnect before it", at)
			}
			return n, fmt.Errorf("%s: %s: expected connect before it", at, a.Verb())
		case a.Subscribe < 0 || a.Subscribe > 128 || a.Publish < 0 || a.Publish > 10_000 || a.Repeat < 0 || a.Repeat > mostActions:
			return n, fmt.Errorf("%s: expected subscribe of 1 to 128, publish of 1 to 10000, repeat of 1 to %d", at, mostActions)
		case a.Sleep < 0 || a.Sleep > maxTime:
			return n, fmt.Errorf("%s.sleep: %v: expected a duration of up to 24h", at, a.Sleep)
		case a.Connect || a.Disconnect:
			*open, followed = a.Connect, 0
		case a.Subscribe > 0:
			if followed += a.Subscribe; followed > channels {
				return n, fmt.Errorf("%s.subscribe: %d channels: expected no more than there are (%d)", at, followed, channels)
			}
		case a.WaitFor != nil:
			if err := a.WaitFor.check(); err != nil {
				return n, fmt.Errorf("%s.wait-for: %w", at, err)
			}
		case a.Repeat > 0:
			was := *open
			inner, err := checkActions(at+".steps", a.Steps, open, channels)
			if err != nil {
				return n, err
			}
			if was != *open {
				return n, fmt.Errorf("%s.steps: expected as many disconnects as connects, so that they can be repeated", at)
			}
			if n += a.Repeat * inner; n > mostActions {
				return n, nil
			}
		}
	}
	return n, nil
}

func (w *Awaited) check() error {
	given := 0
	for _, is := range []bool{w.Own, w.Messages > 0, w.Message != nil} {
		if is {
			given++
		}
	}
	switch {
	case given != 1 || w.Messages < 0:
		return errors.New("expected one of own, messages (1 or more) and message")
	case w.Timeout < 0 || w.Timeout > maxTime:
		return fmt.Errorf("timeout: %v: expected a duration of up to 24h", w.Timeout)
	}
	return nil
}
