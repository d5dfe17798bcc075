package ratelimit

import (
	"fmt"
	"testing"
	"time"

	"weir/internal/units"
)

func TestUsers(t *testing.T) {
	u := NewUsers(units.Rate{Count: 2, Per: time.Second})
	now := time.Now()
	for i := range 4 {
		if !u.Take("u1", now) {
			t.Fatal(i)
		}
	}
	if u.Take("u1", now) || !u.Take("u2", now) || !u.Take("u1", now.Add(600*time.Millisecond)) {
		t.Error("each user has a burst of twice the rate, and gets the rate back")
	}
	for i := range 3 * remembered * len(u.parts) {
		u.Take(fmt.Sprint("x", i), now)
	}
	total := 0
	for i := range u.parts {
		total += len(u.parts[i].users)
	}
	if total > remembered*len(u.parts) {
		t.Errorf("%d users are remembered", total)
	}
	free := NewUsers(units.Rate{})
	for range 1000 {
		if !free.Take("u", now) {
			t.Fatal("a rate without a limit has one")
		}
	}
}

// FuzzBucket demands that no more passes a bucket than burst and rate allow, whatever the clock does.
func FuzzBucket(f *testing.F) {
	f.Add(uint8(10), []byte{0, 1, 200, 3})
	f.Add(uint8(0), []byte{0, 0, 0})
	f.Fuzz(func(t *testing.T, rate uint8, steps []byte) {
		var b Bucket
		now := time.Unix(1e9, 0)
		begin := now
		burst := 2 * float64(rate)
		taken := 0
		for _, s := range steps {
			now = now.Add(time.Duration(s) * time.Millisecond)
			if b.Take(units.Rate{Count: int(rate), Per: time.Second}, burst, now) {
				taken++
			}
		}
		if most := burst + float64(rate)*now.Sub(begin).Seconds() + 1e-6; rate > 0 && float64(taken) > most {
			t.Fatalf("%d taken, at most %v allowed", taken, most)
		}
	})
}
