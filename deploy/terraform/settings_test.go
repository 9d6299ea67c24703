package terraform

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	"causeway/internal/armtest"
	"causeway/internal/config"
)

// changesOf are the changes that an example made.
func (a *azure) changesOf(e example) []armtest.Change {
	suffix, _ := e.vars["suffix"].(string)
	var mine []armtest.Change
	for _, c := range a.Changes() {
		host, _, _ := strings.Cut(c.Path, "/")
		vault, isVault := strings.CutSuffix(host, armtest.VaultSuffix)
		name := strings.TrimPrefix(vault, "kv-causeway")
		two := e.name == "two-region" // its vaults have the regions' names behind
		if strings.Contains(c.Path, e.subscription()) || isVault && (name == suffix && !two || two && (name == suffix+"eu" || name == suffix+"us")) {
			mine = append(mine, c)
		}
	}
	return mine
}

// stableIDs replaces names that the provider makes at random: those of role assignments.
func stableIDs(text string) string {
	return regexp.MustCompile(`(roleAssignments/)[0-9a-f-]{36}`).ReplaceAllString(text, "${1}RANDOM")
}

// checkSettings says that each CAUSEWAY_ setting in a plan, or in what Azure receives, is one that there is, so
// that code and infrastructure stay in step.
func checkSettings(t *testing.T, text []byte) {
	t.Helper()
	known := settings(t)
	for _, name := range regexp.MustCompile(`"(CAUSEWAY_[A-Z_]+)"`).FindAllStringSubmatch(string(text), -1) {
		if !known[name[1]] {
			t.Errorf("%s is no setting of Causeway", name[1])
		}
	}
}

// settings are the environment variables that Causeway knows.
func settings(t *testing.T) map[string]bool {
	t.Helper()
	var reference bytes.Buffer
	if err := config.WriteReference(&reference); err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, name := range regexp.MustCompile(`CAUSEWAY_[A-Z_]+`).FindAllString(reference.String(), -1) {
		known[name] = true
	}
	if len(known) < 10 {
		t.Fatalf("only %d settings in the reference", len(known))
	}
	return known
}
