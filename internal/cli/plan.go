package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"causeway/internal/plan"
)

// planCommand groups what can be planned with numbers.
type planCommand struct {
	Cost         planCost         `cmd:"" help:"What a click costs by service, own relays against bought ones, what advertisements would have to bring."`
	Availability planAvailability `cmd:"" help:"How often a topology works: under independence, at least and at most, with failures that come together."`
	List         planList         `cmd:"" help:"List the price books, scenarios and topologies that are shipped."`
	Print        planPrint        `cmd:"" help:"Print a shipped file, to copy and edit."`
}

// planHint says where files for plan come from.
const planHint = "see: causeway plan list; to make your own: causeway plan print KIND/NAME > FILE.yaml"

// planFile is a file of planning data: shipped, by its name, or the user's own, by its path.
type planFile string

// isPath tells a path from a name: it has a separator or an ending.
func (f planFile) isPath() bool { return strings.ContainsAny(string(f), `/\.`) }

// readPlan reads a file of planning data.
func readPlan[T any](kind plan.Kind, f planFile, read func(io.Reader) (T, error)) (T, error) {
	var none T
	if !f.isPath() {
		b, err := plan.Shipped(kind, string(f))
		if err != nil {
			return none, hinted{usageError{err}, planHint}
		}
		return read(bytes.NewReader(b))
	}
	file, err := os.Open(string(f))
	if err != nil {
		return none, hinted{usageError{err}, planHint}
	}
	defer file.Close()
	v, err := read(file)
	if err != nil {
		return none, hinted{usageError{fmt.Errorf("%s: %w", f, err)}, planHint}
	}
	return v, nil
}

// planFormat is how a report is printed.
type planFormat struct {
	Format string `env:"-" default:"table" enum:"table,json,svg" help:"Form of the report: ${enum}. A chart is for cost only."`
	JSON   bool   `name:"json" env:"-" help:"The same as --format=json."`
}

// report is what plan calculates.
type report interface{ WriteText(w io.Writer) }

// write prints a report at once, so that an error leaves no half of it.
func (f planFormat) write(w io.Writer, r report) error {
	var b bytes.Buffer
	switch {
	case f.JSON || f.Format == "json":
		e := json.NewEncoder(&b)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		if err := e.Encode(r); err != nil {
			return err
		}
	case f.Format == "svg":
		c, ok := r.(interface{ WriteSVG(w io.Writer) error })
		if !ok {
			return usageError{errors.New("there is no chart of this: use --format=table or json")}
		}
		if err := c.WriteSVG(&b); err != nil {
			return err
		}
	default:
		r.WriteText(&b)
	}
	_, err := w.Write(b.Bytes())
	return err
}
