package cli

import (
	"fmt"
	"text/tabwriter"

	"causeway/internal/plan"
)

// planList lists what is shipped.
type planList struct{}

func (planList) Run(s streams) error {
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	for _, kind := range plan.Kinds() {
		for _, name := range plan.Names(kind) {
			title, err := plan.Title(kind, name)
			if err != nil {
				return err
			}
			fmt.Fprintf(w, "%s/%s\t%s\n", kind, name, title)
		}
	}
	return w.Flush()
}
