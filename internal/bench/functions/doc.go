// Package functions measures Causeway as a custom handler of Azure Functions: how long the process
// takes from its start to its first answer, as the host would ask, and what a negotiation
// costs it under a steady load that comes through the double of the host.
package functions

import (
	"errors"
	"time"

	"causeway/internal/bench/measure"
)

// Config says what to measure.
type Config struct {
	Executable string
	Dir        string // for what the parts keep
	Starts     int
	Rate       int // negotiations a second
	Duration   time.Duration
	Progress   func(string)
}

// Validate checks c.
func (c *Config) Validate() error {
	if c.Starts < 1 || c.Rate < 1 || c.Rate > 100_000 || c.Duration < time.Second {
		return errors.New("want at least one start, a rate from 1 to 100000 and a second or more")
	}
	return nil
}

// Result is what was measured. Times are in milliseconds.
type Result struct {
	Benchmark string          `json:"benchmark"`
	Version   string          `json:"version"`
	Machine   measure.Machine `json:"machine"`
	StartMs   []float64       `json:"start_to_answer_ms"` // sorted; what others do meanwhile is in it
	StartCPU  []float64       `json:"start_cpu_ms"`       // of the process till its end, sorted
	Rate      float64         `json:"negotiations_per_second"`
	Asked     int             `json:"negotiations"`
	Failed    int             `json:"failed"`
	CPUMs     float64         `json:"handler_cpu_ms_per_negotiation"`
	DoubleMs  float64         `json:"double_and_driver_cpu_ms_per_negotiation"`
	Cores     float64         `json:"handler_cores"`
	RSSMiB    float64         `json:"handler_rss_mib"`
	MedianMs  float64         `json:"latency_median_ms"`
	P99Ms     float64         `json:"latency_p99_ms"`
	Bars      []measure.Bar   `json:"bars"`
}

// Bars of start-up, and of the load.
const (
	startBarMs    = 100
	heldShare     = 0.95 // of the rate
	maxConcurrent = 256
)
