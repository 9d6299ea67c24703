package plan

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// table is text in columns: the first ones to the left, numbers to the right.
type table struct {
	left int // how many columns are text
	rows [][]string
}

func (t *table) row(cells ...string) { t.rows = append(t.rows, cells) }

const gap = "  "

func (t *table) write(w io.Writer) {
	var widths []int
	for _, row := range t.rows {
		for i, c := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
	}
	for _, row := range t.rows {
		var line strings.Builder
		for i, c := range row {
			space := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c))
			if i < t.left {
				line.WriteString(gap + c + space)
			} else {
				line.WriteString(gap + space + c)
			}
		}
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
}

// wrap breaks text into lines of at most width.
func wrap(text string, width int) string {
	var b strings.Builder
	col := 0
	for _, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case col == 0:
		case col+1+n > width:
			b.WriteByte('\n')
			col = 0
		default:
			b.WriteByte(' ')
			col++
		}
		b.WriteString(word)
		col += n
	}
	return b.String()
}

// money writes dollars with three figures, or cents from one dollar on.
func money(x float64) string {
	switch a := math.Abs(x); {
	case a == 0 || a < 5e-10:
		return "$0"
	case x < 0:
		return "-" + money(-x)
	case a >= 1000:
		return "$" + number(x)
	case a >= 1:
		return "$" + strconv.FormatFloat(x, 'f', 2, 64)
	default:
		return "$" + strconv.FormatFloat(x, 'f', 2-int(math.Floor(math.Log10(a))), 64)
	}
}

// number writes a count, with spaces between the thousands and three figures of what is small.
func number(x float64) string {
	if math.Abs(x) < 100 {
		return strconv.FormatFloat(x, 'g', 3, 64)
	}
	digits := strconv.FormatFloat(math.Abs(x), 'f', 0, 64)
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(' ')
		}
		b.WriteRune(d)
	}
	if x < 0 {
		return "-" + b.String()
	}
	return b.String()
}

func percent(x float64) string { return strconv.FormatFloat(x*100, 'f', 1, 64) + " %" }

// nines writes an availability in percent: five places as a rule, and two figures
// behind the nines of what is nearly perfect.
func nines(x float64) string {
	places := 5
	if q := (1 - x) * 100; q > 0 && q < 1e-3 {
		places = min(12, 1-int(math.Floor(math.Log10(q))))
	}
	return strconv.FormatFloat(x*100, 'f', places, 64) + " %"
}

// volume writes gigabytes, as terabytes where there are many.
func volume(gb float64) string {
	if gb >= 1000 {
		return strconv.FormatFloat(gb/1000, 'g', 3, 64) + " TB"
	}
	return strconv.FormatFloat(gb, 'g', 3, 64) + " GB"
}

// minutes writes a downtime in the unit that a person would use.
func minutes(m float64) string {
	switch {
	case m >= 600:
		return strconv.FormatFloat(m/60, 'f', 1, 64) + " h"
	case m >= 10:
		return strconv.FormatFloat(m, 'f', 0, 64) + " min"
	case m >= 0.1:
		return strconv.FormatFloat(m, 'f', 2, 64) + " min"
	default:
		return strconv.FormatFloat(m*60, 'f', 2, 64) + " s"
	}
}
