package unit

import (
	"fmt"
	"slices"
)

// What is written: so many bytes, to each of so many sockets in turn, so many times a run.
const (
	Bytes   = 150
	Sockets = 1000
	rounds  = 10
)

// Price is what one small write costs.
type Price struct {
	Micros  float64 `json:"writeMicros"` // median of the runs
	Low     float64 `json:"low"`         // µs, of the cheapest run
	High    float64 `json:"high"`        // µs, of the dearest
	Runs    int     `json:"runs"`
	Bytes   int     `json:"bytes"`
	Sockets int     `json:"sockets"`
	Apart   bool    `json:"apart"` // writer and reader had processors of their own
}

// priceOf sums up what writes cost in several runs, in µs.
func priceOf(runs []float64, apart bool) Price {
	slices.Sort(runs)
	n := len(runs)
	return Price{(runs[(n-1)/2] + runs[n/2]) / 2, runs[0], runs[n-1], n, Bytes, Sockets, apart}
}

// String is the price and what it is of.
func (p Price) String() string {
	where := "read on another processor"
	if !p.Apart {
		where = "read on the same processor"
	}
	return fmt.Sprintf("%.2f µs for one write of %d B to each of %d sockets in turn, %s (median of %d runs, %.2f to %.2f)", p.Micros, p.Bytes, p.Sockets, where, p.Runs, p.Low, p.High)
}
