package scenario

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func sampleOf(t interface{ Fatal(...any) }, s Scenario) (p *Plan, chosen []bool, count int) {
	p, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	chosen = p.Sample()
	for _, c := range chosen {
		if c {
			count++
		}
	}
	return p, chosen, count
}

// unevenness is how far the share of the chosen and the share of all are apart, at most, at any place of the order.
func unevenness(chosen []bool, count int) (most float64) {
	seen := 0
	for i, c := range chosen {
		if c {
			seen++
		}
		most = max(most, math.Abs(float64(seen)/float64(count)-float64(i+1)/float64(len(chosen))))
	}
	return most
}

// Whatever the scenario: of each channel 50 subscribers are checked or 5 %, or all if there are fewer, and they are
// spread evenly over the order in which the channel's subscribers, and all of them, connect.
func TestEveryChannelIsSampledEvenly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		channels := rapid.IntRange(1, 60).Draw(t, "channels")
		p, chosen, count := sampleOf(t, Scenario{
			Channels: channels, Subscribers: rapid.IntRange(1, 6000).Draw(t, "subscribers"),
			Follow: rapid.IntRange(1, min(channels, 4)).Draw(t, "follow"), Checked: Share,
		})
		of := make([][]bool, channels)
		for i, c := range chosen {
			for _, ch := range p.Follows(i) {
				of[ch] = append(of[ch], c)
			}
		}
		for ch, list := range of {
			n := 0
			for _, c := range list {
				if c {
					n++
				}
			}
			if want := min(max(50, (len(list)+19)/20), len(list)); n < want {
				t.Fatalf("channel %d: %d of %d are checked, want %d", ch, n, len(list), want)
			}
			if got := unevenness(list, n); n > 0 && got > 5./float64(n) {
				t.Fatalf("channel %d: the %d of %d are uneven by %v", ch, n, len(list), got)
			}
		}
		if got := unevenness(chosen, count); got > .05+1./float64(count) {
			t.Fatalf("uneven by %v", got)
		}
	})
}

// As many as are asked for are spread over the channels and over the order of connecting.
func TestAsManyAreCheckedAsAskedFor(t *testing.T) {
	for _, tt := range []struct{ subscribers, channels, checked int }{
		{5000, 1, 8}, {5000, 500, 500}, {1000, 100, 8}, {60, 50, 30}, {7, 100, 3}, {1000, 3, 100}, {10, 10, 10},
	} {
		p, chosen, count := sampleOf(t, Scenario{Subscribers: tt.subscribers, Channels: tt.channels, Checked: Checked(tt.checked)})
		channels := map[int]bool{}
		for i, c := range chosen {
			if c {
				channels[p.Follows(i)[0]] = true
			}
		}
		if count < tt.checked-1 || count > tt.checked || len(channels) < min(tt.channels, tt.checked)-1 {
			t.Errorf("%+v: %d checked in %d channels", tt, count, len(channels))
		}
		if got := unevenness(chosen, count); tt.subscribers > 100 && got > 1.5/float64(count)+.05 {
			t.Errorf("%+v: uneven by %v", tt, got)
		}
	}
}

func TestHowManyAreChecked(t *testing.T) {
	tests := []struct {
		name string
		s    Scenario
		want int
	}{
		{"all while it is cheap", Scenario{Subscribers: 1000, Rate: 50}, 1000},
		{"5 % of one channel", Scenario{Subscribers: 5000, Rate: 3000}, 250},
		{"at least 50", Scenario{Subscribers: 800, Rate: 3000}, 50},
		{"of each channel", Scenario{Subscribers: 800, Channels: 4, Rate: 3000}, 200},
		{"all of small channels", Scenario{Subscribers: 5000, Channels: 500, Rate: 500_000}, 5000},
		{"channels that share their subscribers", Scenario{Subscribers: 1000, Channels: 2, Follow: 2, Rate: 3000}, 50},
		{"a closed loop", Scenario{Subscribers: 800, Closed: true}, 50},
		{"nothing is published", Scenario{Subscribers: 800, Measure: Idle}, 50},
		{"as asked", Scenario{Subscribers: 5000, Rate: 3000, Checked: 20}, 20},
		{"all", Scenario{Subscribers: 5000, Rate: 3000, Checked: All}, 5000},
		{"all, unevenly many", Scenario{Subscribers: 10, Channels: 3, Checked: All}, 10},
		{"room for those that stall", Scenario{Subscribers: 10, Checked: All, Stages: []Stage{{Duration: time.Second, Slow: .5}}}, 5},
		{"none", Scenario{Rate: 10}, 0},
	}
	for _, tt := range tests {
		if _, _, got := sampleOf(t, tt.s); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}
