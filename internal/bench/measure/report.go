package measure

import (
	"math"
	"slices"
)

// Machine is where it was measured.
type Machine struct {
	System  string `json:"system"`
	CPUs    int    `json:"cpus"`
	CPU     string `json:"cpu"`
	Kernel  string `json:"kernel"`
	Go      string `json:"go"`
	LoadAvg string `json:"load_before"`
}

// Skipped is what was not measured, and why.
type Skipped struct {
	What   string `json:"what"`
	Reason string `json:"reason"`
}

// Bar is a limit that the service is held to. Pass is nil if it was not measured.
type Bar struct {
	Name   string   `json:"name"`
	Value  *float64 `json:"value"`
	Unit   string   `json:"unit"`
	Op     string   `json:"op"` // "<=", ">=" or "<"
	Limit  float64  `json:"limit"`
	Aim    float64  `json:"aim,omitempty"`
	Pass   *bool    `json:"pass"`
	Detail string   `json:"detail"`
}

// NewBar holds value, if there is one, to limit.
func NewBar(name, unit, op string, limit float64, value *float64, detail string) Bar {
	b := Bar{Name: name, Value: value, Unit: unit, Op: op, Limit: limit, Detail: detail}
	if value == nil {
		return b
	}
	pass := *value < limit
	switch op {
	case "<=":
		pass = *value <= limit
	case ">=":
		pass = *value >= limit
	}
	b.Pass = &pass
	return b
}

// Divide takes two figures that may be missing, one after the other.
func Divide(a float64, okA bool) func(b float64, okB bool) *float64 {
	return func(b float64, okB bool) *float64 {
		if !okA || !okB || b == 0 {
			return nil
		}
		q := a / b
		return &q
	}
}

// Median is false if there is nothing. It sorts all.
func Median(all []float64) (float64, bool) {
	if len(all) == 0 {
		return 0, false
	}
	slices.Sort(all)
	if n := len(all); n%2 == 0 {
		return (all[n/2-1] + all[n/2]) / 2, true
	}
	return all[len(all)/2], true
}

// Rounded rounds v to so many digits after the point.
func Rounded(v float64, digits int) float64 {
	p := math.Pow10(digits)
	return math.Round(v*p) / p
}
