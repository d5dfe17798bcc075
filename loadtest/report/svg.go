package report

import (
	"fmt"
	"html/template"
	"math"
	"strings"
)

// curve is one line of a plot. Its colour is the n-th of the page's palette.
type curve struct {
	name   string
	colour int
	dashed bool
	x, y   []float64
}

// plot is one set of axes. Values are drawn as they are; format writes them for people.
type plot struct {
	title  string
	note   string
	curves []curve
	format func(float64) string
	marks  []tick // of the x axis; nil: even ones, in seconds
	bands  [][2]float64
	binary bool // values are bytes: round numbers are powers of two
}

type tick struct {
	at   float64
	name string
}

// The size of a plot in its own units, and the room for its axes.
const (
	plotWidth, plotHeight = 640.0, 240.0
	left, right, top, low = 64.0, 12.0, 12.0, 28.0
)

// draw is the plot as inline SVG: no scripts, no outside resources, colours from the page's variables.
func (p plot) draw() template.HTML {
	x0, x1, y1 := p.extent()
	sx := func(x float64) float64 { return left + (x-x0)/(x1-x0)*(plotWidth-left-right) }
	sy := func(y float64) float64 { return plotHeight - low - y/y1*(plotHeight-top-low) }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %g %g" role="img" aria-label="%s">`, plotWidth, plotHeight, template.HTMLEscapeString(p.title))
	for _, band := range p.bands {
		fmt.Fprintf(&b, `<rect class="band" x="%.1f" y="%g" width="%.1f" height="%g"/>`, sx(band[0]), top, max(sx(band[1])-sx(band[0]), 0), plotHeight-top-low)
	}
	step := p.step(y1)
	for y := 0.0; y <= y1*1.001; y += step {
		fmt.Fprintf(&b, `<line class="grid" x1="%g" x2="%g" y1="%.1f" y2="%[3]f"/><text class="y" x="%g" y="%.1f">%s</text>`,
			left, plotWidth-right, sy(y), left-8, sy(y)+4, template.HTMLEscapeString(p.format(y)))
	}
	for _, t := range p.ticks(x0, x1) {
		fmt.Fprintf(&b, `<text class="x" x="%.1f" y="%g">%s</text>`, sx(t.at), plotHeight-8, template.HTMLEscapeString(t.name))
	}
	for _, c := range p.curves {
		b.WriteString(`<path class="c` + fmt.Sprint(c.colour))
		if c.dashed {
			b.WriteString(` dashed`)
		}
		b.WriteString(`" d="`)
		for i := range c.x {
			op := 'L'
			if i == 0 {
				op = 'M'
			}
			fmt.Fprintf(&b, "%c%.1f %.1f", op, sx(c.x[i]), sy(min(c.y[i], y1)))
		}
		fmt.Fprintf(&b, `"><title>%s</title></path>`, template.HTMLEscapeString(c.name))
	}
	b.WriteString(`</svg>`)
	return template.HTML(b.String()) // everything that is not a number was escaped above
}

// extent is the range of the axes; y begins at 0 and ends at a round number.
func (p plot) extent() (x0, x1, y1 float64) {
	x0, x1 = math.Inf(1), math.Inf(-1)
	for _, c := range p.curves {
		for i := range c.x {
			x0, x1, y1 = min(x0, c.x[i]), max(x1, c.x[i]), max(y1, c.y[i])
		}
	}
	if x0 >= x1 {
		x0, x1 = 0, max(x1, 1)
	}
	if y1 <= 0 || math.IsInf(y1, 0) || math.IsNaN(y1) {
		y1 = 1
	}
	step := p.step(y1)
	return x0, x1, math.Ceil(y1/step-1e-9) * step
}

// step is the distance of the lines of the y axis.
func (p plot) step(y1 float64) float64 {
	if !p.binary {
		return nice(y1 / 4)
	}
	unit := math.Pow(1024, math.Floor(math.Log2(max(y1, 1))/10))
	return nice(y1/4/unit) * unit
}

func (p plot) ticks(x0, x1 float64) []tick {
	if p.marks != nil {
		return p.marks
	}
	var list []tick
	step := nice((x1 - x0) / 6)
	for x := math.Ceil(x0/step) * step; x <= x1+step/1000; x += step {
		list = append(list, tick{x, fmt.Sprintf("%.4g s", x)})
	}
	return list
}

// nice is the round number next above v: 1, 2 or 5 times a power of ten.
func nice(v float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, m := range []float64{1, 2, 5} {
		if m*power >= v*(1-1e-9) {
			return m * power
		}
	}
	return 10 * power
}

// nines stretches the axis of percentiles so that 90, 99 and 99.9 are as far apart.
func nines(percentile float64) float64 {
	return -math.Log10(1 - min(percentile, 99.9995)/100)
}

// ninesMarks are the ticks of that axis.
var ninesMarks = []tick{{nines(0), "0"}, {nines(50), "50"}, {nines(90), "90"}, {nines(99), "99"}, {nines(99.9), "99.9"}, {nines(99.99), "99.99"}, {nines(99.999), "99.999 %"}}
