package terraform

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// roots are where OpenTofu can be started.
func roots() []string {
	return []string{
		".", "modules/budget", "modules/container-app", "modules/delivery", "modules/vault",
		"examples/single-region", "examples/two-region", "examples/container-apps", "examples/delivery",
	}
}

func TestFormat(t *testing.T) {
	needInfra(t)
	if out, err := run(t, "azure", plain(), "tofu", "fmt", "-check", "-diff", "-recursive"); err != nil {
		t.Errorf("run: tofu fmt -recursive deploy/terraform/azure\n%s", out)
	}
}

func TestLint(t *testing.T) {
	needInfra(t)
	config, err := filepath.Abs("azure/.tflint.hcl")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := run(t, "azure", plain(), "tflint", "--recursive", "--no-color", "--config="+config); err != nil {
		t.Errorf("tflint: %v\n%s", err, out)
	}
}

func TestValidate(t *testing.T) {
	needInfra(t)
	t.Parallel()
	tree := copyTree(t, "azure")
	for _, dir := range roots() {
		root := initialized(t, tree, dir)
		if out, err := run(t, root, plain(), "tofu", "validate"); err != nil {
			t.Errorf("%s: %v\n%s", dir, err, out)
		}
	}
}

func TestMocked(t *testing.T) {
	needInfra(t)
	t.Parallel()
	root := initialized(t, copyTree(t, "azure"), ".")
	out, err := run(t, root, plain(), "tofu", "test", "-test-directory=tests/unit")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if strings.Contains(out, " 0 passed") || !strings.Contains(out, " 0 failed") {
		t.Fatalf("no test passed\n%s", out)
	}
	t.Log(lastLine(out))
}

func lastLine(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndex(s, "\n")+1:]
}

// TestAzure is everything that asks the stand-in, side by side. Most of its time the provider waits for Azure to believe itself: for
// roles and for the vault.
func TestAzure(t *testing.T) {
	needInfra(t)
	t.Parallel()
	a := serve(t)
	t.Run("examples", func(t *testing.T) {
		for _, e := range examples() {
			t.Run(e.name, func(t *testing.T) {
				t.Parallel()
				testExample(t, a, e)
			})
		}
		t.Run("mutations", func(t *testing.T) {
			t.Parallel()
			testMutations(t, a)
		})
		t.Run("policy", func(t *testing.T) {
			t.Parallel()
			testPolicy(t, a)
		})
		t.Run("strangers", func(t *testing.T) {
			t.Parallel()
			testStrangers(t, a)
		})
		if full() { // it applies four times, and the provider waits at each
			t.Run("guide", func(t *testing.T) {
				t.Parallel()
				walkThrough(t, a)
			})
		}
	})
}

// testExample plans an example. The single region and the two are applied as well, for the bodies that Azure would
// receive; all are when the tests are full. What is applied is planned again, which must find nothing to
// do, and destroyed, which must leave nothing.
func testExample(t *testing.T, a *azure, e example) {
	root := initialized(t, copyTree(t, "azure"), e.dir)
	if out, err := e.plan(t, a, root); err != nil {
		t.Fatalf("plan: %v\n%s", err, out)
	}
	plan := planJSON(t, a, root)
	for _, d := range denied(t, plan) {
		t.Error(d)
	}
	checkSettings(t, plan)
	noSecretIn(t, filepath.Join(root, "set-up.plan"))
	if bytes.Contains(plan, []byte(meteredKey)) {
		t.Error("the key is in the plan")
	}
	if !full() && e.name != "single-region" && e.name != "two-region" {
		return
	}
	must(t, root, a.env(), "tofu", append(append([]string{"apply", "-parallelism=30"}, e.key()...), "set-up.plan")...)
	bodies := a.bodies(e)
	golden(t, e.name, bodies)
	checkSettings(t, bodies)
	noSecretIn(t, filepath.Join(root, "terraform.tfstate"))
	checkVaults(t, a, e)
	if e.vars["upstream_audience"] != nil {
		checkPages(t, a, e, root)
	}
	if !full() {
		return
	}

	// An update reads the key from the vault; there is nothing to do.
	update := e
	if e.vars["metered_app"] != nil {
		id := strings.Trim(must(t, root, a.env(), "tofu", "output", "-raw", "key_vault_id"), "\n")
		update.vars = map[string]any{"azure_key_vault_id": id}
		for k, v := range e.vars {
			update.vars[k] = v
		}
	}
	again(t, a, update, root)
	before := len(a.changesOf(e))
	destroy(t, a, update, root)
	if len(a.changesOf(e)) == before {
		t.Error("destroy asked for nothing")
	}
	for _, id := range a.Resources() {
		if strings.Contains(id, e.subscription()) {
			t.Errorf("%s is left", id)
		}
	}
}

// again plans what is applied already, without the key.
func again(t *testing.T, a *azure, e example, root string) {
	t.Helper()
	vars, err := json.Marshal(e.vars)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "test.tfvars.json"), vars, 0o600); err != nil {
		t.Fatal(err)
	}
	out := must(t, root, a.env(), "tofu", "plan", "-var-file=test.tfvars.json", "-out=set-up.plan")
	if changes := asked(t, planJSON(t, a, root), "data.causeway.change"); len(changes) > 0 {
		t.Fatalf("a second plan finds something to do: %q\n%s", changes, out)
	}
}

func destroy(t *testing.T, a *azure, e example, root string) {
	t.Helper()
	must(t, root, a.env(), "tofu", "destroy", "-auto-approve", "-parallelism=30", "-var-file=test.tfvars.json")
}

// noSecretIn looks for the key in a file, and in what is packed in it.
func noSecretIn(t *testing.T, file string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	parts := map[string][]byte{"": data}
	if z, err := zip.NewReader(bytes.NewReader(data), int64(len(data))); err == nil {
		for _, f := range z.File {
			r, err := f.Open()
			if err != nil {
				t.Fatal(err)
			}
			if parts[f.Name], err = io.ReadAll(r); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, data := range parts {
		if bytes.Contains(data, []byte(meteredKey)) {
			t.Errorf("%s: the key is in it %s", filepath.Base(file), name)
		}
	}
}

// checkVaults says that the secrets went where they should, once.
func checkVaults(t *testing.T, a *azure, e example) {
	t.Helper()
	if e.key() == nil {
		return
	}
	suffix := e.vars["suffix"].(string)
	vaults := []string{"kv-causeway" + suffix}
	if e.name == "two-region" {
		vaults = []string{"kv-causeway" + suffix + "eu", "kv-causeway" + suffix + "us"}
	}
	var keys []string
	for _, v := range vaults {
		if got, n := a.Secret(v, "meteredkey"); got != meteredKey || n != 1 {
			t.Errorf("%s: Metered's key is %q, written %d times", v, got, n)
		}
		key, n := a.Secret(v, "signingkey")
		if len(key) != 44 || n != 1 {
			t.Errorf("%s: the signing key has %d characters, and was written %d times", v, len(key), n)
		}
		keys = append(keys, key)
	}
	if slices.Sort(keys); len(slices.Compact(keys)) != 1 {
		t.Error("the regions have different signing keys")
	}
}

// bodies are what Azure received for an example, in a stable order.
func (a *azure) bodies(e example) []byte {
	var lines []string
	for _, c := range a.changesOf(e) {
		if c.Method == "DELETE" {
			continue
		}
		var body any
		text := ""
		if len(c.Body) > 0 && json.Unmarshal(c.Body, &body) == nil {
			byName(body)
			if b, err := json.MarshalIndent(body, "", "  "); err == nil {
				text = string(b) + "\n"
			}
		}
		text = strings.ReplaceAll(text, firstOfMonth(), "2027-01-01")
		lines = append(lines, stableIDs(fmt.Sprintf("%s %s\n%s", c.Method, c.Path, text)))
	}
	slices.Sort(lines)
	return []byte(strings.Join(lines, "\n"))
}

// byName sorts lists of things that have names: the provider keeps settings in maps.
func byName(v any) {
	name := func(v any) string {
		m, _ := v.(map[string]any)
		return fmt.Sprint(m["name"])
	}
	switch v := v.(type) {
	case map[string]any:
		for _, inner := range v {
			byName(inner)
		}
	case []any:
		for _, inner := range v {
			byName(inner)
		}
		slices.SortStableFunc(v, func(a, b any) int { return strings.Compare(name(a), name(b)) })
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", "bodies", name+".txt")
	if os.Getenv("CAUSEWAY_UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("Azure would receive something else than %s has (scripts/infra.sh update writes it anew):\n%s", file, firstDifference(string(got), string(want)))
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d:\n got %s\nwant %s", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(g), len(w))
}

// testStrangers says that the stand-in would notice a login with a secret or without a right token.
func testStrangers(t *testing.T, a *azure) {
	e := findExample(t, "delivery")
	root := initialized(t, copyTree(t, "azure"), e.dir)
	if out, err := e.plan(t, &azure{Server: a.Server, roots: a.roots}, root); err != nil {
		t.Fatalf("plan: %v\n%s", err, out)
	}
	env := append(a.env(), "ARM_OIDC_TOKEN=another", "ARM_USE_OIDC=true")
	if out, err := run(t, root, env, "tofu", "plan", "-var-file=test.tfvars.json"); err == nil || !strings.Contains(out, "invalid_client") {
		t.Errorf("a stranger's token was believed: %v\n%s", err, out)
	}
}
