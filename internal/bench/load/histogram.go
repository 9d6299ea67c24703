package load

import (
	"math/bits"
	"time"
)

// Histogram counts durations in buckets of about 1.6 %: 64 for each power of two.
// The zero value is ready for use.
type Histogram struct {
	counts  [64 * 64]uint64
	total   uint64
	largest time.Duration
}

const subBits = 6

// bucket is the index of d's bucket: the position of the highest bit, and the
// six bits after it.
func bucket(d time.Duration) int {
	v := uint64(max(d, 0))
	if v < 1<<subBits {
		return int(v)
	}
	shift := bits.Len64(v) - 1 - subBits
	return (shift+1)<<subBits | int(v>>shift)&(1<<subBits-1)
}

// upper is the largest duration of a bucket.
func upper(i int) time.Duration {
	if i < 1<<subBits {
		return time.Duration(i)
	}
	shift := i>>subBits - 1
	return time.Duration((1<<subBits|uint64(i)&(1<<subBits-1))+1)<<shift - 1
}

// Add counts d.
func (h *Histogram) Add(d time.Duration) {
	h.counts[bucket(d)]++
	h.total++
	h.largest = max(h.largest, d)
}

// Count is how many durations were counted.
func (h *Histogram) Count() uint64 { return h.total }

// Max is the longest duration counted, exactly.
func (h *Histogram) Max() time.Duration { return h.largest }

// Percentile is a duration that p percent of those counted do not exceed, at most
// 1.6 % too long; 0 if nothing was counted.
func (h *Histogram) Percentile(p float64) time.Duration {
	want := uint64(p / 100 * float64(h.total))
	var seen uint64
	for i, n := range h.counts {
		if seen += n; n > 0 && seen >= want {
			return min(upper(i), h.largest)
		}
	}
	return 0
}
