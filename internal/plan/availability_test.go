package plan

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

func assess(t testing.TB, topology string) Availability {
	t.Helper()
	a, err := Assess(shippedAs(t, Topologies, topology, ReadTopology), shippedAs(t, Prices, "default", ReadBook),
		shippedAs(t, Scenarios, "usage", ReadScenario), Drawing{Samples: 10_000, Seed: 7})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// within checks a figure to the places it was given with.
func places(t *testing.T, what string, got float64, want string) {
	t.Helper()
	_, frac, _ := strings.Cut(want, ".")
	if s := fmt.Sprintf("%.*f", len(frac), got*100); s != want {
		t.Errorf("%s: %s %%, want %s %%", what, s, want)
	}
}

func TestPublishedChain(t *testing.T) {
	a := assess(t, "published")
	places(t, "the product", a.Independent.Availability, "99.73925")
	places(t, "the lower bound", a.Lowest.Availability, "99.73900")
	places(t, "the upper bound", a.Highest.Availability, "99.9")
	if h := a.Independent.MinutesPerYear / 60; math.Abs(h-22.9) > 0.05 {
		t.Errorf("out for %v h a year, want 22.9", h)
	}
	if m := a.Independent.MinutesPerMonth; math.Abs(m-114) > 0.5 {
		t.Errorf("out for %v min a month, want 114", m)
	}
	places(t, "with storage as documented", assess(t, "published-storage").Independent.Availability, "99.68936")
	places(t, "with telemetry", assess(t, "published-telemetry").Independent.Availability, "99.53987")
	turn := 1 - 0.2*(1-0.99999)
	near(t, "with TURN weighted", assess(t, "published-weighted").Independent.Availability, 0.999*0.9995*0.9995*turn*0.9999*0.9995, 1e-12)
}

// The table of two regions, with each common-cause factor.
func TestTwoRegions(t *testing.T) {
	for _, row := range []struct {
		topology string
		want     [4]string // beta 0, 1, 5, 10 %
	}{
		{"two-regions-front-door", [4]string{"99.9793", "99.9767", "99.9664", "99.9535"}},
		{"two-regions-traffic-manager", [4]string{"99.9893", "99.9867", "99.9764", "99.9635"}},
		{"two-regions-client-list", [4]string{"99.9993", "99.9967", "99.9864", "99.9735"}},
		{"two-regions-short", [4]string{"99.9998", "99.9983", "99.9923", "99.9848"}},
		{"two-regions-binary", [4]string{"99.99997", "99.9995", "99.9975", "99.9950"}},
	} {
		a := assess(t, row.topology)
		for i, beta := range []float64{0, 0.01, 0.05, 0.1} {
			c := a.Correlated[i]
			if c.Beta != beta {
				t.Fatalf("%s: beta %v", row.topology, c.Beta)
			}
			want := row.want[i]
			if row.topology == "two-regions-binary" && i == 0 {
				// 99.999975 lies between two roundings of the table's five places.
				near(t, row.topology, 1-c.Availability, 0.0005*0.0005, 1e-6)
				continue
			}
			places(t, fmt.Sprintf("%s, beta %v", row.topology, beta), c.Availability, want)
			if c.Check.Verdict != Agrees {
				t.Errorf("%s, beta %v: drawn %v ± %v", row.topology, beta, c.Check.Availability, c.Check.StandardErr)
			}
		}
		if a.Cost.Total.Month <= 0 || len(a.Cost.Lines) == 0 {
			t.Errorf("%s: costs nothing", row.topology)
		}
	}
}

func TestGreatestBeta(t *testing.T) {
	for _, c := range []struct {
		topology string
		target   float64
		want     string
	}{
		{"two-regions-client-list", 99.9, "38"}, {"two-regions-client-list", 99.99, "3.6"}, {"two-regions-short", 99.99, "6.5"}, {"two-regions-binary", 99.99, "20"},
		{"two-regions-front-door", 99.99, "never"}, {"two-regions-traffic-manager", 99.99, "never"}, {"published", 99.9, "never"},
	} {
		top := shippedAs(t, Topologies, c.topology, ReadTopology)
		got := "never"
		if beta, ok := top.tree().greatestBeta(c.target); ok {
			_, frac, _ := strings.Cut(c.want, ".")
			got = fmt.Sprintf("%.*f", len(frac), beta*100)
		}
		if got != c.want {
			t.Errorf("%s, %v %%: beta below %s %%, want %s", c.topology, c.target, got, c.want)
		}
	}
}

// Every shipped topology can be printed, and says what it is.
func TestShippedTopologies(t *testing.T) {
	for _, name := range Names(Topologies) {
		a := assess(t, name)
		for _, c := range a.Correlated {
			if c.Check.Verdict != Agrees || c.Check.StandardErr <= 0 {
				t.Errorf("%s: %+v", name, c.Check)
			}
		}
		if a.Cost.Total.Month <= 0 {
			t.Errorf("%s: costs nothing", name)
		}
		var b bytes.Buffer
		a.WriteText(&b)
		if !strings.Contains(b.String(), "Planning figures") {
			t.Errorf("%s does not say that it is for planning", name)
		}
		if _, err := json.Marshal(a); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, p := range a.Parts {
			if p.SLA != nil && p.Date == "" && !p.Remembered {
				t.Errorf("%s: %s has no date and wasn't remembered", name, p.Name)
			}
		}
	}
}

func TestDrawsAreRepeatable(t *testing.T) {
	tr := shippedAs(t, Topologies, "two-regions-front-door", ReadTopology).tree()
	d := Drawing{Samples: 10_000, Seed: 3}
	if a, b := tr.simulate(0.05, d, 0), tr.simulate(0.05, d, 0); a != b {
		t.Errorf("%+v and %+v", a, b)
	}
	if a, b := tr.simulate(0.05, d, 0), tr.simulate(0.05, Drawing{Samples: 10_000, Seed: 4}, 0); a.Availability == b.Availability {
		t.Error("another seed draws the same")
	}
}

// The check must be able to fail: a figure that is off by a tenth of the outage is seen.
func TestCheckSeesErrors(t *testing.T) {
	tr := shippedAs(t, Topologies, "two-regions-front-door", ReadTopology).tree()
	q, _ := tr.unavailability(0.05)
	m := tr.simulate(0.05, Drawing{Samples: 50_000, Seed: 1}, 0)
	if off := math.Abs(1-m.Availability-1.1*q) / m.StandardErr; off <= maxOff {
		t.Errorf("a tenth more is only %v standard errors away", off)
	}
	wrong, _ := tr.unavailability(0.1)
	if off := math.Abs(1-m.Availability-wrong) / m.StandardErr; off <= maxOff {
		t.Errorf("another beta is only %v standard errors away", off)
	}
}

// A random tree: leaves that fail often enough to be drawn, gates of all kinds.
func randomPart(rng *rand.Rand, depth int) Part {
	p := Part{Name: "p", Origin: Origin{Source: "test"}}
	kind := rng.IntN(3)
	if depth == 0 {
		kind = 0
	}
	switch kind {
	case 0:
		sla := 100 - math.Pow(10, 1-3*rng.Float64())
		p.SLA = &sla
	case 1:
		for range 1 + rng.IntN(3) {
			p.All = append(p.All, randomPart(rng, depth-1))
		}
	case 2:
		for range 1 + rng.IntN(3) {
			p.Any = append(p.Any, randomPart(rng, depth-1))
		}
		p.Need = 1 + rng.IntN(len(p.Any))
	}
	if kind != 2 && rng.IntN(3) == 0 {
		p.Copies = 2 + rng.IntN(2)
		p.Need = 1 + rng.IntN(p.Copies)
	}
	return p
}

func randomTopology(rng *rand.Rand) Topology {
	t := Topology{Title: "random"}
	for range 1 + rng.IntN(3) {
		t.Parts = append(t.Parts, randomPart(rng, 2))
	}
	if rng.IntN(2) == 0 {
		w := rng.Float64()
		t.Parts[0].Weight = &w
	}
	return t
}

func eachPart(parts []Part, f func(*Part)) {
	for i := range parts {
		f(&parts[i])
		eachPart(parts[i].All, f)
		eachPart(parts[i].Any, f)
	}
}

// Whatever the topology: no assumption gives wider bounds than independence, or than
// common causes; and better parts don't make it worse.
func TestBoundsHold(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	const eps = 1e-9
	for range 3000 {
		top := randomTopology(rng)
		tr := top.tree()
		low, high := tr.bounds()
		q, _ := tr.unavailability(0)
		if low < -eps || high > 1+eps || low > 1-q+eps || 1-q > high+eps {
			t.Fatalf("%v ≤ %v ≤ %v does not hold: %+v", low, 1-q, high, top)
		}
		beta := rng.Float64()
		qb, overlap := tr.unavailability(beta)
		if low > 1-qb+overlap+eps || 1-qb > high+eps {
			t.Fatalf("beta %v: %v ≤ %v ≤ %v does not hold: %+v", beta, low, 1-qb, high, top)
		}
		eachPart(top.Parts, func(p *Part) {
			if p.SLA != nil {
				better := *p.SLA + (100-*p.SLA)/2
				p.SLA = &better
			}
		})
		better, _ := top.tree().unavailability(0)
		if better > q+eps {
			t.Fatalf("better parts: out for %v instead of %v", better, q)
		}
		if l, h := top.tree().bounds(); l < low-eps || h < high-eps {
			t.Fatalf("better parts: bounds %v %v instead of %v %v", l, h, low, high)
		}
	}
}

// More in common is worse for what has an alternative, and another copy is better.
func TestRedundancyIsMonotone(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 9))
	for range 2000 {
		sla := 90 + 10*rng.Float64()
		copies := func(n int) *tree {
			return Topology{Parts: []Part{{Name: "r", Copies: n, All: []Part{{Name: "p", SLA: &sla}, {Name: "q", SLA: &sla}}}}}.tree()
		}
		beta := rng.Float64() * 0.9
		q2, _ := copies(2).unavailability(beta)
		more, _ := copies(2).unavailability(beta + 0.1)
		q3, _ := copies(3).unavailability(beta)
		if more < q2 || q3 > q2 {
			t.Fatalf("sla %v: beta %v gives %v, more %v, three copies %v", sla, beta, q2, more, q3)
		}
		one := 1 - sla/100*sla/100
		near(t, "Q2", q2, beta*one+math.Pow((1-beta)*one, 2), 1e-9)
	}
}

func TestDrawsAgree(t *testing.T) {
	rng := rand.New(rand.NewPCG(10, 11))
	agreed := 0
	for i := range 60 {
		top := randomTopology(rng)
		m := top.tree().simulate(rng.Float64()*0.3, Drawing{Samples: 5000, Seed: uint64(i)}, 0)
		switch m.Verdict {
		case Agrees:
			agreed++
		case Disagrees:
			t.Errorf("%+v: %+v", top, m)
		}
	}
	if agreed < 50 {
		t.Errorf("only %d agree", agreed)
	}
}

// fewer and the bounds, against all outcomes one by one.
func TestGates(t *testing.T) {
	rng := rand.New(rand.NewPCG(12, 13))
	for range 500 {
		n := 1 + rng.IntN(4)
		qs := make([]float64, n)
		for i := range qs {
			qs[i] = rng.Float64()
		}
		need := 1 + rng.IntN(n)
		want := 0.0
		for mask := range 1 << n {
			p, working := 1.0, 0
			for i, q := range qs {
				if mask&(1<<i) != 0 {
					p *= 1 - q
					working++
				} else {
					p *= q
				}
			}
			if working < need {
				want += p
			}
		}
		near(t, "fewer", fewer(qs, need), want, 1e-9)

		// Any joint distribution stays below the bound of its marginals.
		weights := make([]float64, 1<<n)
		sum := 0.0
		for i := range weights {
			weights[i] = math.Pow(rng.Float64(), 8)
			sum += weights[i]
		}
		marginals, atLeast := make([]float64, n), 0.0
		for mask, w := range weights {
			happened := 0
			for i := range n {
				if mask&(1<<i) != 0 {
					marginals[i] += w / sum
					happened++
				}
			}
			if happened >= need {
				atLeast += w / sum
			}
		}
		if bound := atMost(marginals, need); atLeast > bound+1e-12 {
			t.Fatalf("%d of %v: %v is above the bound %v", need, marginals, atLeast, bound)
		}
	}
	near(t, "Fréchet, or", atMost([]float64{0.2, 0.3}, 1), 0.5, 1e-12)
	near(t, "Fréchet, and", atMost([]float64{0.2, 0.3}, 2), 0.2, 1e-12)
}
