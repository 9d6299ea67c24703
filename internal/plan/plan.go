// Package plan puts numbers behind two questions of whoever runs Causeway: what does
// a click cost, and how often will it work.
//
// Everything that is an opinion or a figure of somebody else is data, in three kinds
// of YAML files, some of which are shipped inside the binary and all of which a user
// can copy and edit:
//
//   - a price book: what each offer bills, with source and date, and a mark on what
//     was remembered and not read (Book);
//   - a scenario: what a click does, and with which offers (Scenario);
//   - a topology: what must work, what is redundant, and how far failures are shared
//     (Topology).
//
// From these, Estimate and Assess calculate reports. A report is data too: it renders
// as text, as JSON, and (costs) as an SVG chart. The package is pure: it opens no
// file, reads no clock, and the Monte-Carlo check draws from a seed.
//
// A click is one transfer session. A GB is 10⁹ bytes, as on the bills; a month is a
// twelfth of 365.25 days.
package plan

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"math"
	"path"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

//go:embed data
var shipped embed.FS

// Kind is a kind of data file.
type Kind string

// The kinds, which are also the folders of the shipped files.
const (
	Prices     Kind = "prices"
	Scenarios  Kind = "scenarios"
	Topologies Kind = "topologies"
)

// Kinds lists them.
func Kinds() []Kind { return []Kind{Prices, Scenarios, Topologies} }

// ErrUnknown says that no file of that name is shipped.
var ErrUnknown = errors.New("not among the shipped files")

// daysPerMonth, and what follows from it.
const (
	daysPerMonth    = 365.25 / 12
	minutesPerMonth = daysPerMonth * 24 * 60
	secondsPerMonth = minutesPerMonth * 60
)

// maxFile bounds what is read of a data file.
const maxFile = 1 << 20

// Names lists the shipped files of a kind.
func Names(k Kind) []string {
	entries, err := shipped.ReadDir(path.Join("data", string(k)))
	if err != nil {
		return nil // no such kind
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".yaml"))
	}
	return names
}

// Shipped returns the text of a shipped file.
func Shipped(k Kind, name string) ([]byte, error) {
	if !slices.Contains(Names(k), name) {
		return nil, fmt.Errorf("%s %q: %w", strings.TrimSuffix(string(k), "s"), name, ErrUnknown)
	}
	return shipped.ReadFile(path.Join("data", string(k), name+".yaml"))
}

// Title returns the title that a shipped file gives itself.
func Title(k Kind, name string) (string, error) {
	b, err := Shipped(k, name)
	if err != nil {
		return "", err
	}
	var t struct{ Title string }
	err = yaml.Unmarshal(b, &t)
	return t.Title, err
}

// Origin says where a figure comes from.
type Origin struct {
	Source     string `yaml:"source"`
	Date       string `yaml:"date"`       // of the source, or of when it was read; empty if it has none
	Remembered bool   `yaml:"remembered"` // not read: to be checked before it is quoted
}

// unknownKey is how the YAML library says that a struct has no such field.
var unknownKey = regexp.MustCompile(`field (\S+) not found in type \S+`)

// decode reads one YAML document into v. Unknown keys are errors, with their line.
func decode(r io.Reader, v any) error {
	b, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return err
	}
	if len(b) > maxFile {
		return fmt.Errorf("longer than %d bytes", maxFile)
	}
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(v); errors.Is(err, io.EOF) {
		return errors.New("empty")
	} else if err != nil {
		return errors.New(unknownKey.ReplaceAllString(strings.TrimPrefix(err.Error(), "yaml: "), `unknown key "$1"`))
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return errors.New("more than one document")
	}
	return nil
}

// problems collects what is wrong with a file, so that all of it is told at once.
type problems []error

func (p *problems) add(format string, args ...any) { *p = append(*p, fmt.Errorf(format, args...)) }

// within adds a problem if x isn't a number from low to high.
func (p *problems) within(what string, x, low, high float64) {
	if math.IsNaN(x) || x < low || x > high {
		p.add("%s: %v is not from %v to %v", what, x, low, high)
	}
}

func (p problems) err() error { return errors.Join(p...) }
