package plan

import (
	"bytes"
	"fmt"
	"html"
	"io"
	"math"
	"slices"
	"strings"
)

// The chart's measures, in pixels.
const (
	chartWidth = 760
	margin     = 24
	barsLeft   = 268 // where bars begin; their names stand before
	barsRight  = 560 // where the longest ends; its figures stand behind
	barStep    = 26
	plotLeft   = 84
	plotRight  = 540
	labelChars = 30 // of a line's name, before it is cut
	barChars   = 34 // of a bar's
	plotHeight = 300
	labelStep  = 15 // least distance of two labels
)

// chartStyle has the colours for both schemes. Lines differ by dashes as well, and
// each is named where it ends, so that no colour has to be told from another.
const chartStyle = `
.paper{fill:#fff}.ink{fill:#1b2430}.soft{fill:#566170}.bar{fill:#0b6e78}.rest{fill:#9aa7b4}
.grid{stroke:#d8dee5;stroke-width:1}.bought{stroke:#0b6e78;stroke-width:2;fill:none}.own{stroke:#a8480a;stroke-width:2;fill:none;stroke-dasharray:6 4}
.dot{fill:#fff;stroke:#1b2430;stroke-width:1.5}.t-bought{fill:#0b6e78}.t-own{fill:#a8480a}
text{font:13px system-ui,sans-serif;font-variant-numeric:tabular-nums}.h{font-size:17px;font-weight:600}.s{font-size:14px;font-weight:600}.n{font-size:12px}
@media (prefers-color-scheme:dark){
.paper{fill:#12181f}.ink{fill:#e8edf2}.soft{fill:#a5b1bd}.bar{fill:#45b5bf}.rest{fill:#5d6b79}
.grid{stroke:#2c3742}.bought{stroke:#45b5bf}.own{stroke:#f0985a}.dot{fill:#12181f;stroke:#e8edf2}.t-bought{fill:#45b5bf}.t-own{fill:#f0985a}}
`

// canvas collects the elements of an SVG picture.
type canvas struct{ b bytes.Buffer }

func (c *canvas) text(x, y float64, class, anchor, s string) {
	fmt.Fprintf(&c.b, `<text x="%.1f" y="%.1f" class="%s" text-anchor="%s">%s</text>`+"\n", x, y, class, anchor, html.EscapeString(s))
}

func (c *canvas) line(x1, y1, x2, y2 float64, class string) {
	fmt.Fprintf(&c.b, `<path d="M%.1f %.1fL%.1f %.1f" class="%s"/>`+"\n", x1, y1, x2, y2, class)
}

// WriteSVG draws the cost of a click by service, and what relays cost by how much they
// carry, with the points from which own ones are cheaper.
func (c Cost) WriteSVG(w io.Writer) error {
	var body canvas
	y := c.drawBars(&body)
	if len(c.Relays) > 0 {
		y = c.drawCurves(&body, y+34)
	}
	height := y + margin
	body.text(margin, height-10, "soft n", "start", "Prices: "+c.Prices+". Planning figures; prices change.")
	_, err := fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %.0f" width="%d" height="%.0f" role="img" aria-labelledby="title desc">
<title id="title">%s</title>
<desc id="desc">%s</desc>
<style>%s</style>
<rect class="paper" width="100%%" height="100%%"/>
%s</svg>
`, chartWidth, height, chartWidth, height, html.EscapeString("Cost per click: "+c.Title), html.EscapeString(c.describe()), chartStyle, body.b.String())
	return err
}

// cut shortens a name to what there is room for.
func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

// describe says what the chart shows to whom doesn't see it.
func (c Cost) describe() string {
	var b strings.Builder
	fmt.Fprintf(&b, "At %s clicks a month a click costs %s.", number(c.Clicks), money(c.Total.PerClick))
	for _, l := range c.Lines {
		fmt.Fprintf(&b, " %s: %s, %s.", l.Service, money(l.PerClick), percent(l.Share))
	}
	for _, e := range c.BreakEven {
		for _, x := range e.Against {
			if x.GB != nil {
				fmt.Fprintf(&b, " Own relays (%s, %s a month) are cheaper than %s from %s a month.", e.Own, money(e.Month), x.Offer, volume(*x.GB))
			} else {
				fmt.Fprintf(&b, " Own relays (%s, %s a month) are never cheaper than %s.", e.Own, money(e.Month), x.Offer)
			}
		}
	}
	return b.String()
}

// drawBars draws the bill, the largest line first, and returns where it ends.
func (c Cost) drawBars(v *canvas) float64 {
	v.text(margin, 36, "ink h", "start", c.Title)
	head := fmt.Sprintf("A click costs %s at %s clicks a month (%s for one more at list price)", money(c.Total.PerClick), number(c.Clicks), money(c.Total.Next))
	if c.Reconstructed {
		head += "; reconstructed"
	}
	v.text(margin, 60, "soft", "start", head)
	y := 84.0
	top := 0.0
	for _, l := range c.Lines {
		top = max(top, l.PerClick)
	}
	for i, l := range c.Lines {
		class := "rest"
		if i == 0 {
			class = "bar"
		}
		length := max(1, (barsRight-barsLeft)*share(l.PerClick, top))
		v.text(barsLeft-10, y+13, "ink", "end", cut(string(l.Service)+", "+marked(l.Offer, l.Remembered), barChars))
		fmt.Fprintf(&v.b, `<rect x="%d" y="%.1f" width="%.1f" height="17" rx="2" class="%s"/>`+"\n", barsLeft, y, length, class)
		v.text(barsLeft+length+8, y+13, "ink", "start", money(l.PerClick)+", "+percent(l.Share))
		y += barStep
	}
	if len(c.Remembered) > 0 {
		v.text(margin, y+16, "soft n", "start", mark+" uses a price that was remembered, not read")
		y += 22
	}
	return y
}

// plot maps gigabytes and dollars to the picture, both on logarithmic scales.
type plot struct{ top, gbLow, gbHigh, low, high float64 }

func (p plot) x(gb float64) float64 {
	return plotLeft + (plotRight-plotLeft)*math.Log(gb/p.gbLow)/math.Log(p.gbHigh/p.gbLow)
}

func (p plot) y(dollars float64) float64 {
	return p.top + plotHeight*(1-math.Log(dollars/p.low)/math.Log(p.high/p.low))
}

// label is the name of a line, at its end.
type label struct {
	y           float64
	class, text string
}

// drawCurves draws monthly cost over traffic, and returns where it ends.
func (c Cost) drawCurves(v *canvas, top float64) float64 {
	v.text(margin, top, "ink s", "start", "What relays cost a month, by what they carry (dots: from here on own ones are cheaper)")
	p := plot{top: top + 18, gbLow: 10, gbHigh: 1e5, low: 1, high: 1e5}
	c.drawAxes(v, p)
	var labels []label
	for _, r := range c.Relays {
		cost := func(gb float64) float64 { return r.PerGB * max(0, r.Billed*gb-r.FreeGB) }
		if slices.ContainsFunc(c.Lines, func(l Line) bool { return l.Offer == r.Offer && l.Fixed > 0 }) {
			continue // a machine, which isn't priced by the byte alone
		}
		if end, ok := p.curve(v, cost, "bought"); ok {
			labels = append(labels, label{end, "t-bought", marked(r.Offer, r.Remembered)})
		}
	}
	for _, e := range c.BreakEven {
		cost := func(gb float64) float64 { return e.Month + e.PerGB*max(0, e.Billed*gb-e.Free) }
		if end, ok := p.curve(v, cost, "own"); ok {
			labels = append(labels, label{end, "t-own", e.Own})
		}
	}
	for _, e := range c.BreakEven {
		for _, x := range e.Against {
			if x.GB != nil && *x.GB >= p.gbLow && *x.GB <= p.gbHigh && e.Month >= p.low {
				cost := e.Month + e.PerGB*max(0, e.Billed**x.GB-e.Free)
				fmt.Fprintf(&v.b, `<circle cx="%.1f" cy="%.1f" r="3.5" class="dot"/>`+"\n", p.x(*x.GB), p.y(cost))
			}
		}
	}
	slices.SortStableFunc(labels, func(a, b label) int { return int(math.Round(a.y - b.y)) })
	for i := range labels {
		if i > 0 {
			labels[i].y = max(labels[i].y, labels[i-1].y+labelStep)
		}
		v.text(plotRight+8, labels[i].y+4, labels[i].class+" n", "start", cut(labels[i].text, labelChars))
	}
	return p.top + plotHeight + 44
}

func (c Cost) drawAxes(v *canvas, p plot) {
	for gb := p.gbLow; gb <= p.gbHigh; gb *= 10 {
		v.line(p.x(gb), p.top, p.x(gb), p.top+plotHeight, "grid")
		v.text(p.x(gb), p.top+plotHeight+18, "soft n", "middle", volume(gb))
	}
	for d := p.low; d <= p.high; d *= 10 {
		v.line(plotLeft, p.y(d), plotRight, p.y(d), "grid")
		v.text(plotLeft-8, p.y(d)+4, "soft n", "end", strings.TrimSuffix(money(d), ".00"))
	}
	v.text((plotLeft+plotRight)/2, p.top+plotHeight+36, "soft n", "middle", "carried a month")
}

// curve draws a cost where it is inside the plot, and returns where it ends.
func (p plot) curve(v *canvas, cost func(gb float64) float64, class string) (end float64, ok bool) {
	const steps = 400
	var d strings.Builder
	for i := range steps + 1 {
		gb := p.gbLow * math.Pow(p.gbHigh/p.gbLow, float64(i)/steps)
		dollars := cost(gb)
		if dollars < p.low || dollars > p.high {
			continue
		}
		command := "L"
		if d.Len() == 0 {
			command = "M"
		}
		end = p.y(dollars)
		fmt.Fprintf(&d, "%s%.1f %.1f", command, p.x(gb), end)
	}
	if d.Len() == 0 {
		return 0, false
	}
	fmt.Fprintf(&v.b, `<path d="%s" class="%s"/>`+"\n", d.String(), class)
	return end, true
}
