package scenario

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const whole = `name: evening
about: what a Friday looks like
measure: delivery
channels: 50
prefix: "room:"
subscribers: 5000
follow: 2
checked: all
stages:
  - {duration: 30s, rate: 100}
  - {duration: 1m, rate: 2000, ramp: true}
  - {duration: 10s, rate: 2000, slow: 0.01}
  - {duration: 10s, rate: 2000, herd: true}
warmup: 2s
payload: 1KiB
publishers: 8
batch: 10
pipeline: 2
keys: 5
typing: 0.25
presence: true
churn: 12.5
stay: 3s
late: 250ms
drain: 5s
`

func TestAWholeScenarioFile(t *testing.T) {
	s, err := Parse("evening.yaml", []byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	if s.Name != "evening" || s.Checked != All || s.Payload != 1024 || len(s.Stages) != 4 || s.Stages[1] != (Stage{Duration: time.Minute, Rate: 2000, Ramp: true}) ||
		s.Stages[2].Slow != .01 || !s.Stages[3].Herd || s.Typing != .25 || s.Churn != 12.5 || s.Late != 250*time.Millisecond {
		t.Errorf("%+v", s)
	}
	if s, err = Parse("x", []byte("payload: 100\nchecked: 12\n")); err != nil || s.Payload != 100 || s.Checked != 12 {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestWrongScenarioFiles(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"unknown key", "name: x\nsubscriber: 5\n", `s.yaml:2: unknown field "subscriber"`},
		{"unknown key in a stage", "stages:\n  - duration: 1s\n    speed: 3\n", `s.yaml:3: unknown field "speed"`},
		{"not a number", "channels: many\n", "s.yaml:1: "},
		{"not a duration", "duration: soon\n", "soon"},
		{"not YAML", "a: [\n", "s.yaml:"},
		{"out of range", "channels: -3\n", "channels: -3: expected 1 to 1000000"},
		{"small payload", "payload: 10\n", "payload: 10B: expected 64B to 1MiB"},
		{"measure", "measure: speed\n", "measure: speed: expected delivery, publish, connect, echo, script or idle"},
		{"idle with a rate", "measure: idle\nrate: 5\n", "rate: 5: expected none when measuring idle"},
		{"share", "typing: 40\n", "typing: 40: expected a share from 0 to 1"},
		{"both", "rate: 5\nstages: [{duration: 1s}]\n", "expected either stages, or rate and duration"},
		{"stage", "stages: [{duration: 1s, slow: 7}]\n", "stages[0].slow: 7: expected a share"},
		{"stage without length", "stages: [{rate: 7}]\n", "stages[0].duration: 0s: expected 1ms to 24h"},
		{"checked", "checked: some\n", "expected auto, all, share or a number"},
		{"rate", "rate: .nan\n", "rate: NaN: expected 0 to 1e9 a second"},
		{"closed", "closed: true\nstages: [{duration: 1s, rate: 5}]\n", "stages[0].rate: 5: expected inflight in its place"},
		{"think and rate", "think: 1s\nrate: 5\n", "think: 1s: expected no rate"},
		{"inflight of an open loop", "stages: [{duration: 1s, inflight: 5}]\n", "stages[0].inflight: 5: expected closed or think"},
		{"open without idle", "stages: [{duration: 1s, open: 5}]\n", "stages[0].open: 5: expected 0 to 1000000, when measuring idle"},
		{"echo without connections", "measure: echo\n", "subscribers: 0: expected 1 to 20000 when measuring echo"},
		{"echo with presence", "measure: echo\nsubscribers: 1\npresence: true\n", "expected none of them when measuring echo"},
		{"follow", "follow: 2\n", "follow: 2: expected 1 to 128, and no more than there are channels"},
	}
	for _, tt := range tests {
		_, err := Parse("s.yaml", []byte(tt.text))
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v\nwant %s", tt.name, err, tt.want)
		}
	}
}

func TestEveryPresetIsValidAndFound(t *testing.T) {
	want := []string{"fanout", "many", "chat", "presence", "analytics", "idle", "connect", "ingress", "echo", "herd", "slow"}
	for i, s := range Presets() {
		if s.Name != want[i] || s.About == "" {
			t.Errorf("preset %d is %q", i, s.Name)
		}
		if _, err := New(s); err != nil {
			t.Errorf("%s: %v", s.Name, err)
		}
		if got, err := Find(s.Name); err != nil || got.Name != s.Name {
			t.Errorf("%s: %v", s.Name, err)
		}
	}
	if _, err := Find("fan"); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "expected fanout, many") {
		t.Error(err)
	}
	file := filepath.Join(t.TempDir(), "mine.yaml")
	if err := os.WriteFile(file, []byte(whole), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := Find(file); err != nil || s.Name != "evening" {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := Find("missing.yaml"); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(whole))
	f.Add([]byte("stages: [{duration: 1s, rate: 1e9}]"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := Parse("f", b)
		if err != nil {
			return
		}
		p, err := New(s)
		if err != nil {
			t.Fatalf("parsed but invalid: %v", err)
		}
		p.Due(p.Requests() / 2)
	})
}
