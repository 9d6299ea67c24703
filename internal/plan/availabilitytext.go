package plan

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// WriteText writes the report for people.
func (a Availability) WriteText(w io.Writer) {
	header(w, a.Title, a.Note)
	a.writeParts(w)
	a.writeFigures(w)
	a.writeCorrelated(w)
	a.writeTargets(w)
	a.writeCost(w)
	fmt.Fprintf(w, "\n%s\n", wrap(a.Planning, textWidth))
}

func (a Availability) writeParts(w io.Writer) {
	fmt.Fprintln(w, "\nA session works while all of these do")
	t := table{left: 3}
	noted := false
	for _, p := range a.Parts {
		figure := p.Rule
		if p.SLA != nil {
			figure = strings.TrimSuffix(strconv.FormatFloat(*p.SLA, 'f', -1, 64)+" %, "+p.Rule, ", ")
		}
		if p.Weight != nil {
			figure += fmt.Sprintf(", needed by %s", percent(*p.Weight))
		}
		source := p.Source
		if p.Date != "" {
			source += ", " + p.Date
		}
		noted = noted || p.Remembered
		t.row(strings.Repeat("  ", p.Depth)+p.Name, marked(figure, p.Remembered), source)
	}
	t.write(w)
	if noted {
		fmt.Fprintln(w, "  "+mark+" assumed or remembered, not read")
	}
}

func (a Availability) writeFigures(w io.Writer) {
	fmt.Fprintln(w, "\nAvailability")
	t := table{left: 1}
	t.row("", "", "out a year", "out a month")
	add := func(what string, f Figure) {
		t.row(what, nines(f.Availability), minutes(f.MinutesPerYear), minutes(f.MinutesPerMonth))
	}
	add("if failures are independent", a.Independent)
	add("at least, without any assumption", a.Lowest)
	add("at most, without any assumption", a.Highest)
	t.write(w)
}

func (a Availability) writeCorrelated(w io.Writer) {
	if !a.Redundant {
		fmt.Fprintln(w, "\nNothing is redundant, so no beta matters: failures that come together help a chain. Monte-Carlo check")
	} else {
		fmt.Fprintln(w, "\nWith failures that strike all redundant parts together (beta: their share), and a Monte-Carlo check")
	}
	t := table{}
	t.row("beta", "availability", "out a year", "out a month", "drawn", "std. error", "off by", "")
	for _, c := range a.Correlated {
		t.row(strconv.FormatFloat(c.Beta*100, 'f', -1, 64)+" %", nines(c.Availability), minutes(c.MinutesPerYear), minutes(c.MinutesPerMonth),
			nines(c.Check.Availability), strconv.FormatFloat(c.Check.StandardErr*100, 'g', 2, 64), strconv.FormatFloat(c.Check.Off, 'f', 1, 64), string(c.Check.Verdict))
	}
	t.write(w)
	if len(a.Correlated) > 0 {
		m := a.Correlated[0].Check
		fmt.Fprintf(w, "  %s sessions drawn from seed %d; off by so many standard errors, at most %d agree\n", number(float64(m.Samples)), m.Seed, maxOff)
	}
}

func (a Availability) writeTargets(w io.Writer) {
	if len(a.Targets) == 0 {
		return
	}
	fmt.Fprintln(w, "\nTargets")
	for _, t := range a.Targets {
		target := strconv.FormatFloat(t.Percent, 'f', -1, 64) + " %"
		switch {
		case t.MaxBeta == nil:
			fmt.Fprintf(w, "  %s: not met, whatever beta is\n", target)
		case *t.MaxBeta == 1:
			fmt.Fprintf(w, "  %s: met\n", target)
		default:
			fmt.Fprintf(w, "  %s: met while beta is below %s\n", target, percent(*t.MaxBeta))
		}
	}
}

func (a Availability) writeCost(w io.Writer) {
	c := a.Cost
	fmt.Fprintf(w, "\nWhat it costs, at %s clicks a month\n", number(c.Clicks))
	t := table{left: 2}
	t.row("service", "offer", "fixed/month", "usage/month", "per click")
	noted := false
	for _, l := range c.Lines {
		offer := l.Offer
		if l.Count > 1 {
			offer = fmt.Sprintf("%d x %s", l.Count, offer)
		}
		noted = noted || l.Remembered
		t.row(string(l.Service), marked(offer, l.Remembered), money(l.Fixed), money(l.Usage), money(l.PerClick))
	}
	t.row("total", "", money(c.Total.Fixed), money(c.Total.Month-c.Total.Fixed), money(c.Total.PerClick))
	t.write(w)
	if !c.Relay {
		fmt.Fprintln(w, "  Relayed traffic comes on top: causeway plan cost")
	}
	if noted {
		fmt.Fprintln(w, "  "+mark+" a price was remembered, not read")
	}
	fmt.Fprintf(w, "  Usage: %s. Prices: %s.\n", c.Scenario, c.Prices)
}
