package config_test

import (
	"testing"

	"weir/relay/config"
)

func TestStretch(t *testing.T) {
	for text, most := range map[string]float64{"true": 4, "false": 1, "1.5": 1.5, "2.25": 2.25, "4": 4, "8": 8} {
		s := config.Stretch(99)
		if err := s.UnmarshalText([]byte(text)); err != nil || s.Most() != most || s.String() != text {
			t.Errorf("%s: %v, %v times as long, %v", text, s, s.Most(), err)
		}
	}
	s := config.Stretch(3)
	for _, text := range []string{"", "yes", "0", "1", "1.49", "8.01", "-2", "Inf", "NaN", "2x", "True"} {
		if err := s.UnmarshalText([]byte(text)); err == nil || s != 3 {
			t.Errorf("%q is taken: %v", text, s)
		}
	}
}
