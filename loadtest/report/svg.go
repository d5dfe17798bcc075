package report

import (
	"fmt"
	"html/template"
	"math"
	"strings"
)

// curve is one line of a plot, in parts where values are missing. Its colour is the n-th of the page's palette.
type curve struct {
	name   string
	colour int
	dashed bool
	x, y   []float64 // a y that is not a number is not known
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

// side is the width and the height of a plot in its own units. The page stretches it to the room there is;
// lines and words keep their size.
const side = 1000.0

// draw returns the plot as HTML: no scripts, no outside resources, colours from the page's variables.
func (p plot) draw() template.HTML {
	x0, x1, y1 := p.extent()
	sx := func(x float64) float64 { return (x - x0) / (x1 - x0) }
	sy := func(y float64) float64 { return 1 - y/y1 }
	var b, labels strings.Builder
	fmt.Fprintf(&b, `<div class="plot" role="img" aria-label="%s"><svg viewBox="0 0 %[2]g %[2]g" preserveAspectRatio="none">`, template.HTMLEscapeString(p.title), side)
	for _, band := range p.bands {
		from, to := max(sx(band[0]), 0), min(sx(band[1]), 1)
		fmt.Fprintf(&b, `<rect class="band" x="%.0f" width="%.0f" height="%g"/>`, from*side, max(to-from, 0)*side, side)
	}
	step := p.step(y1)
	for y := 0.0; y <= y1*1.001; y += step {
		fmt.Fprintf(&b, `<path class="grid" d="M0 %.0fH%g"/>`, sy(y)*side, side)
		fmt.Fprintf(&labels, `<span class="y" style="top:%.1f%%">%s</span>`, sy(y)*100, template.HTMLEscapeString(p.format(y)))
	}
	for _, t := range p.ticks(x0, x1) {
		fmt.Fprintf(&labels, `<span class="x" style="left:%.1f%%">%s</span>`, sx(t.at)*100, template.HTMLEscapeString(t.name))
	}
	for _, c := range p.curves {
		line, dots := c.trace(func(i int) (x, y float64) { return sx(c.x[i]) * side, sy(min(c.y[i], y1)) * side })
		class := ""
		if c.dashed {
			class = " dashed"
		}
		name := template.HTMLEscapeString(c.name)
		fmt.Fprintf(&b, `<path class="c%d%s" d="%s"><title>%s</title></path>`, c.colour, class, line, name)
		if dots != "" {
			fmt.Fprintf(&b, `<path class="c%d dot" d="%s"><title>%s</title></path>`, c.colour, dots, name)
		}
	}
	b.WriteString(`</svg>` + labels.String() + `</div>`)
	return template.HTML(b.String()) // everything that is not a number was escaped above
}

// trace returns the curve as SVG path data: lines that are broken where a value is not known, and the values that
// stand alone between two such places.
func (c curve) trace(at func(i int) (x, y float64)) (line, dots string) {
	known := func(i int) bool { return i >= 0 && i < len(c.y) && !math.IsNaN(c.y[i]) }
	var l, d strings.Builder
	for i := range c.y {
		if !known(i) {
			continue
		}
		x, y := at(i)
		switch {
		case known(i - 1):
			fmt.Fprintf(&l, "L%.1f %.1f", x, y)
		case known(i + 1):
			fmt.Fprintf(&l, "M%.1f %.1f", x, y)
		default:
			fmt.Fprintf(&d, "M%.1f %.1fh0", x, y)
		}
	}
	return l.String(), d.String()
}

// extent is the range of the axes; y begins at 0 and ends at a round number.
func (p plot) extent() (x0, x1, y1 float64) {
	x0, x1 = math.Inf(1), math.Inf(-1)
	for _, c := range p.curves {
		for i := range c.x {
			x0, x1 = min(x0, c.x[i]), max(x1, c.x[i])
			if !math.IsNaN(c.y[i]) {
				y1 = max(y1, c.y[i])
			}
		}
	}
	if n := len(p.marks); n > 0 { // they are drawn, whatever was measured, and the last needs room beside it
		x0, x1 = min(x0, p.marks[0].at), max(x1, 1.06*p.marks[n-1].at)
	}
	if x0 >= x1 {
		x0, x1 = 0, max(x1, 1)
	}
	if y1 <= 0 || math.IsInf(y1, 0) {
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
