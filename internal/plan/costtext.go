package plan

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

const textWidth = 100

// mark stands beside figures that use a price that was remembered.
const mark = "*"

func marked(text string, remembered bool) string {
	if remembered {
		return text + mark
	}
	return text
}

// header writes a report's title, with a line under it, and its note.
func header(w io.Writer, title, note string) {
	fmt.Fprintf(w, "%s\n%s\n", title, strings.Repeat("=", len([]rune(title))))
	if note != "" {
		fmt.Fprintln(w, wrap(note, textWidth))
	}
}

// WriteText writes the report for people.
func (c Cost) WriteText(w io.Writer) {
	title := c.Title
	if c.Reconstructed {
		title += " (reconstructed: the assumptions are ours)"
	}
	header(w, title, c.Note)
	c.writeAssumptions(w)
	c.writeLines(w)
	c.writeScale(w)
	c.writeRelays(w)
	c.writeBreakEven(w)
	c.writeAds(w)
	fmt.Fprintf(w, "\nPrices: %s.\n", c.Prices)
	if len(c.Remembered) > 0 {
		fmt.Fprintln(w, wrap(mark+" Remembered, not read; check before you quote: "+strings.Join(c.Remembered, ", ")+".", textWidth))
	}
}

func (c Cost) writeAssumptions(w io.Writer) {
	fmt.Fprintln(w, "\nA click is assumed to be")
	t := table{left: 1}
	for _, a := range c.Assumptions {
		t.row(a.Name, number(a.Value), " "+a.Unit)
		if a.From != FromScenario {
			t.rows[len(t.rows)-1][2] += " (" + a.From + ")"
		}
	}
	t.alignUnits()
	t.write(w)
}

// alignUnits sets the last column, of units, to the left.
func (t *table) alignUnits() {
	longest := 0
	for _, r := range t.rows {
		longest = max(longest, len(r[len(r)-1]))
	}
	for _, r := range t.rows {
		last := &r[len(r)-1]
		*last += strings.Repeat(" ", longest-len(*last))
	}
}

func (c Cost) writeLines(w io.Writer) {
	fmt.Fprintf(w, "\nCost per click, at %s clicks a month and for one more at list price\n", number(c.Clicks))
	t := table{left: 2}
	t.row("service", "offer", "fixed/month", "usage/month", "per click", "share", "next click", "share")
	for _, l := range c.Lines {
		offer := l.Offer
		if l.Count > 1 {
			offer = fmt.Sprintf("%d x %s", l.Count, offer)
		}
		t.row(string(l.Service), marked(offer, l.Remembered), money(l.Fixed), money(l.Usage), money(l.PerClick), percent(l.Share), money(l.Next), percent(l.NextShare))
	}
	t.row("total", "", money(c.Total.Fixed), money(c.Total.Month-c.Total.Fixed), money(c.Total.PerClick), "", money(c.Total.Next), "")
	t.write(w)
	if len(c.Lines) > 1 {
		fmt.Fprintf(w, "  Largest: %s. Halving the second-largest (%s) saves %s of the total.\n", c.Lines[0].Service, c.Lines[1].Service, percent(c.HalvingSecond))
	}
}

func (c Cost) writeScale(w io.Writer) {
	fmt.Fprintln(w, "\nAt other numbers of clicks: for small ones the fixed part dominates, not the relay")
	t := table{}
	t.row("clicks/month", "month", "fixed per click", "per click")
	for _, s := range c.Scale {
		t.row(number(s.Clicks), money(s.Month), money(s.Fixed), money(s.PerClick))
	}
	t.write(w)
}

func (c Cost) writeRelays(w io.Writer) {
	if len(c.Relays) == 0 {
		return
	}
	fmt.Fprintf(w, "\nThe relay's part of the next click, by who holds the allocation (assumed: %s)\n", c.Allocation)
	t := table{left: 2}
	t.row("relay", "bills", "per GB", "free/month", "sender", "receiver", "both", "next click", "relay")
	for _, r := range c.Relays {
		t.row(marked(r.Offer, r.Remembered), string(r.Bills), money(r.PerGB), volume(r.FreeGB), money(r.Relay[BySender]), money(r.Relay[ByReceiver]), money(r.Relay[ByBoth]), money(r.Next), percent(r.RelayShare))
	}
	t.write(w)
	if !slices.ContainsFunc(c.Assumptions, func(a Assumption) bool { return a.Name == "acks" }) {
		fmt.Fprintln(w, "  Nothing is assumed to flow back (acks), so a sender's allocation looks free where to_client is billed.")
	}
}

func (c Cost) writeBreakEven(w io.Writer) {
	if len(c.BreakEven) == 0 {
		return
	}
	fmt.Fprintln(w, "\nBreak-even: relayed traffic a month (and clicks) from which own relays are cheaper")
	t := table{left: 1}
	head := []string{"own relays", "a month"}
	for _, x := range c.BreakEven[0].Against {
		head = append(head, x.Offer)
	}
	t.row(head...)
	for _, e := range c.BreakEven {
		row := []string{e.Own, money(e.Month)}
		for _, x := range e.Against {
			switch {
			case x.GB == nil:
				row = append(row, "never")
			case x.Clicks == nil:
				row = append(row, volume(*x.GB))
			default:
				row = append(row, volume(*x.GB)+" ("+rough(*x.Clicks)+")")
			}
		}
		t.row(row...)
	}
	t.write(w)
}

// rough writes a number of clicks as one says it.
func rough(n float64) string {
	switch {
	case n >= 1e6:
		return number(n/1e6) + "M"
	case n >= 1e3:
		return number(n/1e3) + "k"
	}
	return number(n)
}

func (c Cost) writeAds(w io.Writer) {
	if c.Ads == nil {
		return
	}
	a := c.Ads
	fmt.Fprintf(w, "\nPaid by advertisements at %s for a thousand views: %s a click\n", money(a.RPM), money(a.PerClick))
	fmt.Fprintf(w, "  At %s clicks a month they would have to bring %s for a thousand views (%s for the next click alone).\n", number(c.Clicks), money(a.NeededRPM), money(a.NeededNext))
	switch {
	case a.FromClicks == nil:
		fmt.Fprintln(w, "  At that price they never pay for it, at any number of clicks.")
	case a.ToClicks != nil:
		fmt.Fprintf(w, "  At that price they pay for it from %s to %s clicks a month, while some of it is free.\n", number(*a.FromClicks), number(*a.ToClicks))
	default:
		fmt.Fprintf(w, "  At that price they pay for it from %s clicks a month on.\n", number(*a.FromClicks))
	}
	if a.SubsidyMonth > 0 {
		fmt.Fprintf(w, "  Missing now: %s a month.\n", money(a.SubsidyMonth))
	}
	t := table{left: 1}
	t.row("relay", "needs for a thousand views", "pays for files up to")
	for _, r := range c.Relays {
		file := "any"
		if r.PaidFileMB != nil {
			file = number(*r.PaidFileMB) + " MB"
		}
		if r.NeededRPM != nil {
			t.row(marked(r.Offer, r.Remembered), money(*r.NeededRPM), file)
		}
	}
	t.write(w)
	fmt.Fprintln(w, wrap("  For the next click, fixed costs apart. "+a.Source+".", textWidth))
}
