package load

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestHistogram(t *testing.T) {
	var h Histogram
	if h.Percentile(50) != 0 || h.Max() != 0 {
		t.Error("an empty histogram has figures")
	}
	r := rand.New(rand.NewPCG(1, 2))
	all := make([]time.Duration, 20_000)
	for i := range all {
		all[i] = time.Duration(r.ExpFloat64() * float64(time.Duration(1+i%3)*time.Millisecond))
		h.Add(all[i])
	}
	slices.Sort(all)
	for _, p := range []float64{1, 50, 90, 99, 99.9, 100} {
		exact := all[max(int(p/100*float64(len(all))), 1)-1]
		if got := h.Percentile(p); got < exact || float64(got) > 1.016*float64(exact) {
			t.Errorf("p%v = %v, exact %v", p, got, exact)
		}
	}
	if h.Max() != all[len(all)-1] || h.Count() != 20_000 {
		t.Errorf("max %v, count %d", h.Max(), h.Count())
	}
}

func TestBuckets(t *testing.T) {
	for _, d := range []time.Duration{-1, 0, 1, 63, 64, 65, 127, 128, 1000, time.Second, time.Hour, 1<<63 - 1} {
		i := bucket(d)
		if u := upper(i); u < d || i > 0 && upper(i-1) >= d {
			t.Errorf("%d is in bucket %d: %d to %d", d, i, upper(i-1)+1, u)
		}
	}
}
