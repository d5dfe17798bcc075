package report

import "weir/loadtest/record"

// pointMost is how many points a plot has at most.
const pointMost = 300

// series joins intervals to as many points as a plot can show.
func series(r *record.Record) []Point {
	each := (len(r.Buckets) + pointMost - 1) / pointMost
	var points []Point
	for i := 0; i < len(r.Buckets); i += max(each, 1) {
		part := r.Buckets[i:min(i+each, len(r.Buckets))]
		m := record.NewMeter(2)
		var sum record.Bucket
		for _, b := range part {
			sum.Span += b.Span
			sum.Bytes += b.Bytes
			sum.Checked += b.Checked
			sum.Messages += b.Messages
			sum.Sent += b.Sent
			m.Add(b.Latency)
		}
		last := part[len(part)-1]
		d := max(seconds(sum.Span), 1e-9)
		points = append(points, Point{
			At: seconds(part[0].At), Deliveries: deliveries(sum) / d, Publishes: float64(sum.Sent) / d,
			P50: m.Millis(.5), P99: m.Millis(.99), Max: m.Max(),
			ServerCPU: processor(r.Buckets, i, each, server), ClientCPU: processor(r.Buckets, i, each, client), Memory: last.RSS, Open: last.Open,
		})
	}
	return points
}

func server(b record.Bucket) int64 { return b.Server }
func client(b record.Bucket) int64 { return b.Client }

// processorSpan is over how long CPU is averaged, in ns: systems count it in steps of 10 ms.
const processorSpan = 500_000_000

// processor is the CPU used around the intervals from i on, in cores.
func processor(bs []record.Bucket, i, n int, of func(record.Bucket) int64) float64 {
	from, to := i, min(i+n, len(bs))
	var used, span int64
	for _, b := range bs[from:to] {
		used += of(b)
		span += b.Span
	}
	for span < processorSpan && (from > 0 || to < len(bs)) {
		if from > 0 {
			from--
			used += of(bs[from])
			span += bs[from].Span
		}
		if to < len(bs) {
			used += of(bs[to])
			span += bs[to].Span
			to++
		}
	}
	return float64(used) / float64(max(span, 1))
}
