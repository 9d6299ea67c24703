package plan

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func shippedAs[T any](t testing.TB, k Kind, name string, read func(io.Reader) (T, error)) T {
	t.Helper()
	b, err := Shipped(k, name)
	if err != nil {
		t.Fatal(err)
	}
	v, err := read(bytes.NewReader(b))
	if err != nil {
		t.Fatalf("%s/%s: %v", k, name, err)
	}
	return v
}

func estimate(t testing.TB, scenario string, change func(*Scenario)) Cost {
	t.Helper()
	s := shippedAs(t, Scenarios, scenario, ReadScenario)
	if change != nil {
		change(&s)
	}
	c, err := Estimate(shippedAs(t, Prices, "default", ReadBook), s, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func near(t *testing.T, what string, got, want, relative float64) {
	t.Helper()
	if math.IsNaN(got) || math.Abs(got-want) > relative*math.Abs(want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func line(t *testing.T, c Cost, s Service) Line {
	t.Helper()
	for _, l := range c.Lines {
		if l.Service == s {
			return l
		}
	}
	t.Fatalf("no line for %s", s)
	return Line{}
}

// The worked example: S=0.1 GB, h=5 %, p=20 %, m=24, n=6, M=0.5 GB, t=1 s, W=0.5 MB.
func TestWorkedExample(t *testing.T) {
	c := estimate(t, "worked-example", nil)
	near(t, "TURN", line(t, c, Relay).Next, 8.4e-3, 1e-9)
	near(t, "SignalR", line(t, c, Realtime).Next, 2.4e-5, 1e-9)
	near(t, "Functions", line(t, c, Compute).Next, 8.0e-5, 0.01)
	near(t, "web", line(t, c, Web).Next, 1.0e-4, 1e-9)
	near(t, "a click", c.Total.Next, 0.0086, 0.001)
	if got := percent(line(t, c, Relay).NextShare); got != "97.6 %" {
		t.Errorf("TURN's share is %s", got)
	}
	if c.Lines[0].Service != Relay {
		t.Errorf("the largest is %s", c.Lines[0].Service)
	}

	c = estimate(t, "cloudflare", nil)
	near(t, "a click at Cloudflare", c.Total.Next, 0.00125, 0.005)
	near(t, "its TURN share", line(t, c, Relay).NextShare, 0.84, 0.005)

	c = estimate(t, "vm-relay", nil)
	near(t, "a click with a well-filled machine", c.Total.PerClick, 0.0002, 0.15)
}

// $58 a month are 5.8 cents a click at 1 000 clicks, and 0.06 at 100 000.
func TestFixedPart(t *testing.T) {
	c := estimate(t, "worked-example", nil)
	near(t, "at 1 000", c.Scale[0].Fixed, 0.058, 0.005)
	near(t, "at 100 000", c.Scale[2].Fixed, 0.0006, 0.05)
}

func TestBreakEvenTable(t *testing.T) {
	c := estimate(t, "worked-example", nil)
	rows := []struct{ month, metered, cloudflare, azure float64 }{
		{10, 25, 1200, 200}, {30, 75, 1600, 400}, {390, 975, 8800, 4600}, {2000, 5000, 41000, 23000},
	}
	if len(c.BreakEven) != len(rows) {
		t.Fatalf("%d rows", len(c.BreakEven))
	}
	for i, want := range rows {
		got := c.BreakEven[i]
		near(t, "C", got.Month, want.month, 1e-9)
		for _, x := range got.Against {
			switch x.Offer {
			case "metered":
				near(t, "against metered", *x.GB, want.metered, 1e-9)
			case "cloudflare":
				near(t, "against Cloudflare", *x.GB, want.cloudflare, 1e-9)
			case "azure-egress":
				near(t, "against Azure egress", *x.GB, want.azure, 0.12) // the table rounds to 0.1 TB
			}
		}
	}
	for _, x := range c.BreakEven[2].Against {
		switch x.Offer {
		case "metered":
			near(t, "clicks against metered", *x.Clicks, 46_000, 0.01)
		case "cloudflare":
			near(t, "clicks against Cloudflare", *x.Clicks, 420_000, 0.01)
		}
	}
}

// The published result, whose assumptions are reconstructed.
func TestReconstructed(t *testing.T) {
	c := estimate(t, "reconstructed", nil)
	if !c.Reconstructed {
		t.Error("not marked as reconstructed")
	}
	if c.Lines[0].Service != Relay {
		t.Errorf("the largest is %s", c.Lines[0].Service)
	}
	if c.HalvingSecond < 0.08 || c.HalvingSecond > 0.12 {
		t.Errorf("halving the second-largest saves %v, not about a tenth", c.HalvingSecond)
	}
	near(t, "what halving saves", c.HalvingSecond*c.Total.Month, (c.Lines[1].Fixed+c.Lines[1].Usage)/2, 1e-9)
	var b bytes.Buffer
	c.WriteText(&b)
	if !strings.Contains(b.String(), "reconstructed") {
		t.Error("the report does not say that it is reconstructed")
	}
}

func TestLever(t *testing.T) {
	transfer := Transfer{FileMB: 100, Overhead: 0.05, Acks: 0.042, Relayed: 1}
	back := 0.04
	for _, c := range []struct {
		b    Billing
		a    Allocation
		want float64
	}{
		{ToClient, BySender, back}, {ToClient, ByReceiver, 1}, {ToClient, ByBoth, 1 + back},
		{Both, BySender, 1 + back}, {Both, ByReceiver, 1 + back}, {Both, ByBoth, 2 * (1 + back)},
		{Out, BySender, 1 + back}, {Out, ByReceiver, 1 + back}, {Out, ByBoth, 1 + back},
	} {
		near(t, string(c.b)+", "+string(c.a), transfer.factor(c.b, c.a), c.want, 1e-12)
	}
}

func TestFreeAmounts(t *testing.T) {
	book := Book{Title: "t", Offers: map[string]Offer{
		"r": {Service: Realtime, Rates: []Rate{{Meter: Months, Price: 10}, {Meter: Messages, Price: 2, Per: 1000, Free: 100, FreePer: "day", FreeEach: true}}},
		"e": {Service: Compute, Currency: "EUR", Rates: []Rate{{Meter: Executions, Price: 1}}},
	}, Currencies: map[string]Currency{"EUR": {USD: 1.5}}}
	s := Scenario{Clicks: 1000, Work: Work{Messages: 10, Executions: 1}, Use: map[Service]string{Realtime: "r", Compute: "e"}, Count: map[Service]int{Realtime: 2}}
	c, err := Estimate(book.inDollars(), s, nil)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "messages", line(t, c, Realtime).Usage, (10*1000-2*100*daysPerMonth)*0.002, 1e-9)
	near(t, "units", line(t, c, Realtime).Fixed, 20, 1e-12)
	near(t, "euros", line(t, c, Compute).Usage, 1500, 1e-12)
}

// Where both cost the same, one lies below before and the other after.
func TestCrossing(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	found := 0
	for range 5_000 {
		w := ownRelay{month: rng.Float64() * 1000, price: rng.Float64() * 0.1 * float64(rng.IntN(2)), factor: 1 + rng.Float64(), included: rng.Float64() * 1e4 * float64(rng.IntN(2))}
		price, factor, free := rng.Float64()*0.5, rng.Float64()*2, rng.Float64()*1000*float64(rng.IntN(2))
		own := func(gb float64) float64 { return w.month + w.price*max(0, w.factor*gb-w.included) }
		bought := func(gb float64) float64 { return price * max(0, factor*gb-free) }
		g, ok := w.crosses(price, factor, free)
		if !ok {
			for _, gb := range []float64{1, 1e3, 1e6, 1e9} {
				if bought(gb) > own(gb)*(1+1e-9) {
					t.Fatalf("said never, but %v costs %v against %v: %+v %v %v %v", gb, bought(gb), own(gb), w, price, factor, free)
				}
			}
			continue
		}
		found++
		near(t, "at the crossing", bought(g), own(g), 1e-6)
		if lower := g * 0.9; bought(lower) > own(lower)*(1+1e-9) {
			t.Fatalf("bought is dearer before the crossing: %+v", w)
		}
	}
	if found < 500 {
		t.Errorf("only %d crossings", found)
	}
}

func TestAdvertising(t *testing.T) {
	c := estimate(t, "worked-example", nil)
	near(t, "needed for a thousand views", c.Ads.NeededRPM, c.Total.PerClick/1.4*1000, 1e-9)
	if c.Ads.FromClicks != nil {
		t.Errorf("pays from %v", *c.Ads.FromClicks)
	}
	// With what it says to need, it comes out even.
	c = estimate(t, "worked-example", func(s *Scenario) { s.Ads.RPM = c.Ads.NeededRPM })
	if math.Abs(c.Ads.Margin) > 1e-12 {
		t.Errorf("margin %v", c.Ads.Margin)
	}
	if c.Ads.FromClicks == nil {
		t.Fatal("never pays")
	}
	near(t, "pays from", *c.Ads.FromClicks, c.Clicks, 1e-6)
	// A free part that ends makes a range.
	c = estimate(t, "cloudflare", func(s *Scenario) { s.Ads = Ads{RPM: 1.23, Views: 1, Shown: 1} })
	if c.Ads.FromClicks == nil || c.Ads.ToClicks == nil || *c.Ads.FromClicks >= *c.Ads.ToClicks {
		t.Fatalf("no range: %+v", c.Ads)
	}
	for n, pays := range map[float64]bool{*c.Ads.FromClicks * 0.99: false, *c.Ads.FromClicks * 1.01: true, *c.Ads.ToClicks * 0.99: true, *c.Ads.ToClicks * 1.01: false} {
		got := estimate(t, "cloudflare", func(s *Scenario) { s.Clicks = n; s.Ads = Ads{RPM: 1.23, Views: 1, Shown: 1} })
		if got.Ads.Margin >= 0 != pays {
			t.Errorf("at %v clicks the margin is %v", n, got.Ads.Margin)
		}
	}
}

// What is paid for a file of the greatest size is what advertisements bring.
func TestPaidFile(t *testing.T) {
	c := estimate(t, "worked-example", nil)
	for _, r := range c.Relays {
		bigger := estimate(t, "worked-example", func(s *Scenario) { s.FileMB = *r.PaidFileMB; s.Use[Relay] = r.Offer })
		near(t, r.Offer, bigger.Total.Next, c.Ads.PerClick, 1e-9)
	}
}

// More of anything never costs less.
func TestCostIsMonotone(t *testing.T) {
	more := map[string]func(*Scenario){
		"clicks": func(s *Scenario) { s.Clicks *= 1.5 }, "size": func(s *Scenario) { s.FileMB *= 2 }, "overhead": func(s *Scenario) { s.Overhead += 0.1 },
		"relayed": func(s *Scenario) { s.Relayed += 0.1 }, "messages": func(s *Scenario) { s.Work.Messages *= 1e4 }, "executions": func(s *Scenario) { s.Work.Executions *= 3 },
		"seconds": func(s *Scenario) { s.Seconds *= 3 }, "pages": func(s *Scenario) { s.PageMB *= 9 },
	}
	for _, name := range Names(Scenarios) {
		before := estimate(t, name, nil)
		for what, change := range more {
			if after := estimate(t, name, change); after.Total.Month < before.Total.Month {
				t.Errorf("%s: more %s costs %v instead of %v", name, what, after.Total.Month, before.Total.Month)
			}
		}
		sum := 0.0
		for _, l := range before.Lines {
			sum += l.Fixed + l.Usage
		}
		near(t, name+": sum of lines", sum, before.Total.Month, 1e-9)
	}
}

func TestWithUsage(t *testing.T) {
	s := shippedAs(t, Scenarios, "worked-example", ReadScenario)
	from := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	u := Usage{From: from, To: from.Add(10 * 24 * time.Hour), Sessions: 1000, DirectBytes: 45e9, RelayedBytes: 5e9, Messages: 30_000, Executions: 8000}
	got, measured, err := s.With(u)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "clicks", got.Clicks, 100*daysPerMonth, 1e-9)
	near(t, "size", got.FileMB, 50, 1e-9)
	near(t, "relayed", got.Relayed, 0.1, 1e-9)
	near(t, "messages", got.Work.Messages, 30, 1e-9)
	near(t, "executions", got.Work.Executions, 8, 1e-9)
	if strings.Join(measured, " ") != "clicks file_mb relayed messages executions" {
		t.Errorf("measured %v", measured)
	}
	// What the relay carried counts more than what pages say of it.
	u.CarriedBytes = 21e9
	if got, _, err = s.With(u); err != nil {
		t.Fatal(err)
	}
	near(t, "carried by a click", got.leg(), 0.021, 1e-9)
	near(t, "direct", got.FileMB*(1-got.Relayed), 45, 1e-9)
	// What wasn't measured stays.
	if got, _, err = s.With(Usage{From: u.From, To: u.To, Sessions: 5}); err != nil || got.FileMB != s.FileMB || got.Relayed != s.Relayed || got.Work != s.Work {
		t.Errorf("%+v, error %v", got, err)
	}
	for what, bad := range map[string]Usage{
		"no time":      {From: from, To: from, Sessions: 1},
		"no sessions":  {From: from, To: from.Add(24 * time.Hour)},
		"less than 0":  {From: from, To: from.Add(24 * time.Hour), Sessions: 1, CarriedBytes: -1},
		"an odd clock": {From: from, To: from.Add(-24 * time.Hour), Sessions: 1},
	} {
		if _, _, err := s.With(bad); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
}

func TestUnknownOffers(t *testing.T) {
	book := shippedAs(t, Prices, "default", ReadBook)
	s := shippedAs(t, Scenarios, "worked-example", ReadScenario)
	s.Use = map[Service]string{Relay: "nobody"}
	if _, err := Estimate(book, s, nil); err == nil || !strings.Contains(err.Error(), `no offer "nobody"`) {
		t.Errorf("error %v", err)
	}
	s.Use, s.Own = nil, []Own{{Name: "x", Machine: "nothing", Machines: 1}}
	if _, err := Estimate(book, s, nil); err == nil || !strings.Contains(err.Error(), `no offer "nothing"`) {
		t.Errorf("error %v", err)
	}
	if _, err := Shipped(Prices, "../plan"); !errors.Is(err, ErrUnknown) {
		t.Errorf("error %v", err)
	}
}

// Each figure that is shipped says where it comes from, and of when or that it was remembered.
func TestShippedPricesHaveOrigins(t *testing.T) {
	book := shippedAs(t, Prices, "default", ReadBook)
	for id, o := range book.Offers {
		for _, r := range o.Rates {
			if r.Source == "" || r.Date == "" && !r.Remembered {
				t.Errorf("%s, %s: source %q, date %q, remembered %v", id, r.Meter, r.Source, r.Date, r.Remembered)
			}
		}
	}
}

// Each shipped scenario renders in each form; the chart is well-formed and names itself.
func TestRender(t *testing.T) {
	for _, name := range Names(Scenarios) {
		c := estimate(t, name, func(s *Scenario) { s.Title = `<&">` })
		if _, err := json.Marshal(c); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var b bytes.Buffer
		if err := c.WriteSVG(&b); err != nil {
			t.Fatal(err)
		}
		var svg struct {
			Role     string `xml:"role,attr"`
			Labelled string `xml:"aria-labelledby,attr"`
			Title    string `xml:"title"`
			Desc     string `xml:"desc"`
			Style    string `xml:"style"`
		}
		if err := xml.Unmarshal(b.Bytes(), &svg); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if svg.Role != "img" || svg.Labelled != "title desc" || !strings.Contains(svg.Title, `<&">`) || !strings.Contains(svg.Desc, "a click costs $") {
			t.Errorf("%s: %+v", name, svg)
		}
		if !strings.Contains(svg.Style, "prefers-color-scheme:dark") {
			t.Errorf("%s: no dark scheme", name)
		}
		if s := b.String(); strings.Contains(s, "NaN") || strings.Contains(s, "Inf") {
			t.Errorf("%s: not a number in the chart", name)
		}
	}
}

func TestNumbers(t *testing.T) {
	for x, want := range map[float64]string{0: "$0", 0.0086044: "$0.00860", 1.5: "$1.50", 8616.4: "$8 616", -0.01: "-$0.0100", 0.00125: "$0.00125"} {
		if got := money(x); got != want {
			t.Errorf("money(%v) = %s, want %s", x, got, want)
		}
	}
	for x, want := range map[float64]string{0.9973925: "99.73925 %", 1: "100.00000 %", 0.99999975: "99.999975 %", 0.9: "90.00000 %"} {
		if got := nines(x); got != want {
			t.Errorf("nines(%v) = %s, want %s", x, got, want)
		}
	}
	for x, want := range map[float64]string{1234567: "1 234 567", 100: "100", 0.05: "0.05", -1500: "-1 500"} {
		if got := number(x); got != want {
			t.Errorf("number(%v) = %s, want %s", x, got, want)
		}
	}
}
