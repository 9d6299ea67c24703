package plan

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"
)

func TestBadFiles(t *testing.T) {
	book := func(s string) error { _, err := ReadBook(strings.NewReader(s)); return err }
	scenario := func(s string) error { _, err := ReadScenario(strings.NewReader(s)); return err }
	topology := func(s string) error { _, err := ReadTopology(strings.NewReader(s)); return err }
	for _, c := range []struct {
		read       func(string) error
		text, want string
	}{
		{book, "", "read price book: empty"},
		{book, "title: x", "no offers"},
		{book, "title: x\noffer: {}", `line 2: unknown key "offer"`},
		{book, "offers:\n  a:\n    service: relay\n    rates:\n      - {meter: relay_gb, prize: 1}", `line 5: unknown key "prize"`},
		{book, "offers: {a: {service: sauna, rates: [{meter: month, price: 1, source: s}]}}", `unknown service "sauna"`},
		{book, "offers: {a: {service: web, rates: [{meter: mont, price: 1, source: s}]}}", `unknown meter "mont"`},
		{book, "offers: {a: {service: web, rates: [{meter: month, price: -1, source: s}]}}", "price: -1 is not from 0"},
		{book, "offers: {a: {service: web, rates: [{meter: month, price: .nan, source: s}]}}", "price: NaN"},
		{book, "offers: {a: {service: web, rates: [{meter: month, price: .inf, source: s}]}}", "price: +Inf"},
		{book, "offers: {a: {service: web, rates: [{meter: month, price: 1}]}}", "no source"},
		{book, "offers: {a: {service: web, rates: [{meter: month, source: s}, {meter: month, source: s}]}}", "a second rate for month"},
		{book, "offers: {a: {service: relay, rates: [{meter: relay_gb, price: 1, source: s}]}}", "bills"},
		{book, "offers: {a: {service: web, currency: CHF, rates: [{meter: month, price: 1, source: s}]}}", `currencies has no "CHF"`},
		{book, "offers: {a: {service: web, rates: [{meter: month, price: 1, source: s, free_per: week}]}}", "neither month nor day"},
		{book, "offers: {a: {service: web}}", "no rates"},
		{book, "offers: [", "line 1"},
		{book, "a: 1\n---\nb: 2", "unknown key"},
		{book, "title: " + strings.Repeat("x", maxFile), "longer than"},
		{scenario, "clicks: 1\n---\nclicks: 2", "more than one document"},
		{scenario, "clicks: 0", "clicks: 0 is not from 1"},
		{scenario, "clicks: many", "line 1"},
		{scenario, "clicks: 1\nrelayed: 1.5", "relayed: 1.5 is not from 0 to 1"},
		{scenario, "clicks: 1\nallocation: nobody", `allocation: "nobody"`},
		{scenario, "clicks: 1\nuse: {tea: x}", `unknown service "tea"`},
		{scenario, "clicks: 1\ncount: {web: 2}", "use has no such service"},
		{scenario, "clicks: 1\nown: [{machine: x}]", "machine and machines go together"},
		{scenario, "clicks: 1\nfile_mb: 1\nfile_gb: 2", `line 3: unknown key "file_gb"`},
		{topology, "title: x", "no parts"},
		{topology, "parts:\n  - {name: a, slaa: 99}", `line 2: unknown key "slaa"`},
		{topology, "parts: [{name: a}]", "parts[0] (a): needs one of sla, all and any"},
		{topology, "parts: [{name: a, sla: 101, source: s}]", "sla: 101 is not from 0 to 100"},
		{topology, "parts: [{name: a, sla: 99}]", "no source"},
		{topology, "parts: [{sla: 99, source: s}]", "parts[0]: no name"},
		{topology, "parts: [{name: a, sla: 99, source: s, copies: 17}]", "copies: 17"},
		{topology, "parts: [{name: a, sla: 99, source: s, copies: 2, need: 3}]", "need: 3"},
		{topology, "parts: [{name: a, copies: 2, any: [{name: b, sla: 99, source: s}]}]", "list them under any"},
		{topology, "parts: [{name: a, sla: 99, source: s, weight: 2}]", "weight: 2"},
		{topology, "betas: [2]\nparts: [{name: a, sla: 99, source: s}]", "betas[0]: 2"},
		{topology, "parts: [" + strings.Repeat("{name: a, all: [", 20) + "{name: b, sla: 99, source: s}" + strings.Repeat("]}", 20) + "]", "too deep"},
		{topology, "parts: [" + strings.Repeat("{name: a, sla: 99, source: s},", 100) + "]", "too large"},
		{topology, "parts: [{name: a, copies: 16, all: [{name: b, copies: 16, all: [{name: c, copies: 16, sla: 99, source: s}]}]}]", "too large"},
	} {
		if err := c.read(c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.80q: error %v, want %q", c.text, err, c.want)
		}
	}
}

// What is wrong is told at once, not one by one.
func TestAllProblemsAreTold(t *testing.T) {
	_, err := ReadScenario(strings.NewReader("clicks: 0\nrelayed: 7\nacks: -1"))
	for _, want := range []string{"clicks", "relayed", "acks"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not name %s", err, want)
		}
	}
}

// Whatever is accepted can be calculated and printed.
func FuzzFiles(f *testing.F) {
	for _, k := range Kinds() {
		for _, name := range Names(k) {
			b, err := Shipped(k, name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
	}
	book := shippedAs(f, Prices, "default", ReadBook)
	usage := shippedAs(f, Scenarios, "usage", ReadScenario)
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := ReadScenario(bytes.NewReader(b)); err == nil {
			if c, err := Estimate(book, s, nil); err == nil {
				render(t, c)
				if err := c.WriteSVG(io.Discard); err != nil {
					t.Error(err)
				}
			}
		}
		if top, err := ReadTopology(bytes.NewReader(b)); err == nil {
			if a, err := Assess(top, book, usage, Drawing{Samples: 50, Seed: 1}); err == nil {
				render(t, a)
				if a.Lowest.Availability > a.Independent.Availability+1e-9 || a.Independent.Availability > a.Highest.Availability+1e-9 {
					t.Errorf("%v ≤ %v ≤ %v does not hold", a.Lowest, a.Independent, a.Highest)
				}
			}
		}
		if other, err := ReadBook(bytes.NewReader(b)); err == nil {
			if _, err := Estimate(other, usage, nil); err != nil {
				t.Error(err)
			}
		}
	})
}

func render(t *testing.T, r interface{ WriteText(io.Writer) }) {
	t.Helper()
	r.WriteText(io.Discard)
	if _, err := json.Marshal(r); err != nil {
		t.Error(err)
	}
}
