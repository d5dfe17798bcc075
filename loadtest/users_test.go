package loadtest_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"weir/loadtest"
	"weir/loadtest/report"
	"weir/loadtest/scenario"
	"weir/loadtest/target"
)

const chatting = `name: chatting
channels: 4
subscribers: 6
warmup: -1s
duration: 4s
script:
  - connect
  - subscribe: 2
  - repeat: 2
    steps:
      - publish
      - wait-for: {own: true, timeout: 2s}
      - sleep: 200ms
  - subscribe
  - {publish: 3, name: three at once}
  - wait-for: {messages: 3}
  - disconnect
`

func parsed(t *testing.T, text string) scenario.Scenario {
	t.Helper()
	s, err := scenario.Parse("script.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Users who work off a script in a loop: each run takes its two sleeps, and everything is accounted for.
func TestUsersWorkOffAScript(t *testing.T) {
	res, rec := virtual(t, fakeConfig{Window: 10 * time.Millisecond}, parsed(t, chatting), nil)
	if !res.Valid || res.Lost+res.Duplicated+res.Corrupted != 0 || res.LatencyMs.Count < 6*6 || res.Received != res.Expected || res.Received < 6*6*5 {
		t.Errorf("%v %v; %d runs, received %d of %d, lost %d", res.Valid, res.InvalidBecause, res.LatencyMs.Count, res.Received, res.Expected, res.Lost)
	}
	if res.LatencyMs.P50 > 100 || res.Setup.Subscribers != 6 || res.DeliveredMs == nil || res.DeliveredMs.P50 < 9 || res.DeliveredMs.P50 > 11 {
		t.Errorf("a run took %v, a delivery %v", res.LatencyMs, res.DeliveredMs)
	}
	var names []string
	for _, a := range res.Script {
		names = append(names, a.Name)
		if a.Failed != 0 || a.LatencyMs.Count == 0 {
			t.Errorf("%+v", a)
		}
	}
	if got := strings.Join(names, " "); got != "connect subscribe publish wait-for sleep subscribe three at once wait-for disconnect" {
		t.Error(got)
	}
	sent := uint64(0)
	for _, c := range rec.Channels {
		sent += c.Sent
	}
	if sent < uint64(res.LatencyMs.Count)*5 {
		t.Errorf("%d messages in %d runs", sent, res.LatencyMs.Count)
	}
}

// Users that come at a rate run through the script once each.
func TestUsersComeAtARate(t *testing.T) {
	s := parsed(t, chatting)
	s.Rate, s.Duration, s.Subscribers = 10, 3*time.Second, 50
	res, _ := virtual(t, fakeConfig{}, s, nil)
	if !res.Valid || res.LatencyMs.Count != 30 || res.Unsent != 0 {
		t.Errorf("%v: %d runs", res.InvalidBecause, res.LatencyMs.Count)
	}
	s.Subscribers = 2 // of whom two at a time are too few
	if res, _ = virtual(t, fakeConfig{}, s, nil); res.Valid || res.Unsent == 0 || res.LatencyMs.Count > 20 {
		t.Errorf("%d runs, %d that could not begin", res.LatencyMs.Count, res.Unsent)
	}
}

// What goes wrong shows in the accounting, and in the step that waits for it.
func TestScriptsFindFaults(t *testing.T) {
	res, _ := virtual(t, fakeConfig{Fault: func(_, n int) fault {
		if n == 8 {
			return lose
		}
		return noFault
	}}, parsed(t, chatting), nil)
	failed := uint64(0)
	for _, a := range res.Script {
		failed += a.Failed
	}
	if res.Lost == 0 && failed == 0 {
		t.Errorf("lost %d, failed %d", res.Lost, failed)
	}
	s := parsed(t, strings.Replace(chatting, "timeout: 2s", "timeout: 500ms", 1))
	res, _ = virtual(t, fakeConfig{Fault: func(int, int) fault { return lose }}, s, nil)
	if res.Valid || len(res.Script) < 4 || res.Script[3].Failed < 6 || !strings.Contains(res.Script[3].Why, "not all of its own messages came within 500ms") {
		t.Errorf("%v %+v", res.InvalidBecause, res.Script)
	}
}

// A server of any protocol: what a user says, and what it waits for.
func TestScriptsSpeakAnyProtocol(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer func() { _ = c.CloseNow() }()
		for {
			_, msg, err := c.Read(r.Context())
			if err != nil {
				return
			}
			answer := `{"op":"noise"}`
			if user, ok := strings.CutPrefix(string(msg), `{"op":"whoami","user":`); ok {
				answer += "\n" + `{"op":"you","user":` + user
			}
			for line := range strings.SplitSeq(answer, "\n") {
				if c.Write(r.Context(), websocket.MessageText, []byte(line)) != nil {
					return
				}
			}
		}
	}))
	t.Cleanup(s.Close)
	sc := parsed(t, `name: any
subscribers: 3
warmup: -1s
duration: 1s
script:
  - connect
  - send: '{"op":"whoami","user":"{{user}}"}'
  - wait-for: {message: {match: {op: you, user: "{{user}}"}}}
  - sleep: 50ms
  - disconnect
`)
	rec, err := loadtest.Run(t.Context(), loadtest.Config{Scenario: sc, Target: target.Options{Name: "ws", URL: s.URL}})
	if err != nil {
		t.Fatal(err)
	}
	res := report.New(rec)
	if len(res.Script) != 5 || res.Script[2].LatencyMs.Count < 3 || res.Script[2].Failed != 0 {
		t.Errorf("%+v", res.Script)
	}
}

func TestWrongScripts(t *testing.T) {
	for _, tt := range []struct{ script, want string }{
		{"[publish, jump]", `script: "jump": expected connect, disconnect`},
		{"[subscribe]", "script[0]: subscribe: expected connect before it"},
		{"[connect, connect]", "script[1]: connect: expected disconnect before it"},
		{"[connect, {sleep: 1s, publish: 2}]", "script[1]: expected one of connect"},
		{"[connect, {wait-for: {}}]", "script[1].wait-for: expected one of own, messages"},
		{"[connect, {wait-for: {own: true, messages: 2}}]", "script[1].wait-for: expected one of own"},
		{"[connect, {subscribe: 5}]", "script[1].subscribe: 5 channels: expected no more than there are (4)"},
		{"[{repeat: 2}]", "script[0]: expected repeat and steps"},
		{"[{repeat: 2, steps: [connect]}]", "as many disconnects as connects"},
		{"[connect, {repeat: 99999, steps: [{repeat: 99999, steps: [publish]}]}]", "expected up to 100000"},
		{"[{speed: 2}]", `unknown field "speed"`},
	} {
		_, err := scenario.Parse("s.yaml", []byte("channels: 4\nsubscribers: 2\nscript: "+tt.script+"\n"))
		if !errors.Is(err, scenario.ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, expected %q", tt.script, err, tt.want)
		}
	}
	sc := parsed(t, "subscribers: 1\nscript: [connect, {send: '{{nothing}}'}]\n")
	_, err := loadtest.Run(context.Background(), loadtest.Config{Scenario: sc, Target: target.Options{Name: "ws", URL: "http://127.0.0.1:1"}})
	if err == nil || !strings.Contains(err.Error(), `script[1].send: "{{nothing}}": no variable "nothing"`) {
		t.Error(err)
	}
}
