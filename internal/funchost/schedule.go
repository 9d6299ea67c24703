package funchost

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// schedule is an NCRONTAB expression: second, minute, hour, day, month, day of the week, each a bit set.
type schedule [6]uint64

var scheduleRanges = [6][2]int{{0, 59}, {0, 59}, {0, 23}, {1, 31}, {1, 12}, {0, 6}}

// parseSchedule reads six fields of *, numbers, ranges, steps and lists.
func parseSchedule(text string) (s schedule, err error) {
	fields := strings.Fields(text)
	if len(fields) != len(s) {
		return s, fmt.Errorf("schedule %q: want six fields", text)
	}
	for i, field := range fields {
		for part := range strings.SplitSeq(field, ",") {
			bits, err := parsePart(part, scheduleRanges[i][0], scheduleRanges[i][1])
			if err != nil {
				return s, fmt.Errorf("schedule %q: %w", text, err)
			}
			s[i] |= bits
		}
	}
	return s, nil
}

func parsePart(part string, first, last int) (bits uint64, err error) {
	span, stepText, stepped := strings.Cut(part, "/")
	step := 1
	if stepped {
		if step, err = strconv.Atoi(stepText); err != nil || step < 1 {
			return 0, fmt.Errorf("step %q", stepText)
		}
	}
	from, to := first, last
	if span != "*" {
		a, b, ranged := strings.Cut(span, "-")
		if from, err = strconv.Atoi(a); err != nil {
			return 0, fmt.Errorf("number %q", a)
		}
		if to = from; stepped {
			to = last
		}
		if ranged {
			if to, err = strconv.Atoi(b); err != nil {
				return 0, fmt.Errorf("number %q", b)
			}
		}
	}
	if from < first || to > last || to < from {
		return 0, fmt.Errorf("%q is not within %d and %d", part, first, last)
	}
	for n := from; n <= to; n += step {
		bits |= 1 << n
	}
	return bits, nil
}

// next returns when the schedule is due after t, to the second; the zero Time if not within a year.
func (s schedule) next(t time.Time) time.Time {
	t = t.UTC().Truncate(time.Second).Add(time.Second)
	end := t.AddDate(1, 0, 1)
	for t.Before(end) {
		values := [6]int{t.Second(), t.Minute(), t.Hour(), t.Day(), int(t.Month()), int(t.Weekday())}
		due := func(i int) bool { return s[i]&(1<<values[i]) != 0 }
		y, m, d := t.Date()
		switch {
		case !due(3) || !due(4) || !due(5):
			t = time.Date(y, m, d+1, 0, 0, 0, 0, time.UTC)
		case !due(2):
			t = time.Date(y, m, d, t.Hour()+1, 0, 0, 0, time.UTC)
		case !due(1):
			t = t.Truncate(time.Minute).Add(time.Minute)
		case !due(0):
			t = t.Add(time.Second)
		default:
			return t
		}
	}
	return time.Time{}
}
