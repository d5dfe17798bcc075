package content

import (
	"fmt"
	"hash/fnv"
	"math"
)

// Color is the colour of a user's cursors: always the same, dark enough to be read on white.
func Color(user string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(user)) // never fails
	hue := float64(h.Sum32()%360) / 30
	channel := func(n float64) int { // as CSS Color 4 converts HSL
		const lightness, half = 0.44, 0.28 // half of what lies between the weakest and the strongest channel
		k := math.Mod(n+hue, 12)
		return int(255*(lightness-half*max(-1, min(k-3, 9-k, 1))) + 1e-9)
	}
	return fmt.Sprintf("#%02x%02x%02x", channel(0), channel(8), channel(4))
}
