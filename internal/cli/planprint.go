package cli

import (
	"errors"
	"strings"

	"causeway/internal/plan"
)

// planPrint prints a shipped file.
type planPrint struct {
	Name string `arg:"" placeholder:"KIND/NAME" help:"Kind and name, as in: prices/default."`
}

func (p *planPrint) Run(s streams) error {
	kind, name, ok := strings.Cut(p.Name, "/")
	if !ok {
		return hinted{usageError{errors.New("a file is named KIND/NAME, such as prices/default")}, "see: causeway plan list"}
	}
	b, err := plan.Shipped(plan.Kind(kind), name)
	if err != nil {
		return hinted{usageError{err}, "see: causeway plan list"}
	}
	_, err = s.out.Write(b)
	return err
}
