package terraform

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// Both kinds of pipelines are data: these tests say what must be true of them, since nothing here can run them.

type node = map[string]any

func readYAML(t *testing.T, file string) node {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var n node
	if err := yaml.Unmarshal(data, &n); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return n
}

func pipelineFiles(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob("../pipelines/" + pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %v %v", pattern, files, err)
	}
	return files
}

func list(v any) []node {
	items, _ := v.([]any)
	var nodes []node
	for _, i := range items {
		if n, ok := i.(node); ok {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

// walk visits every mapping of a document.
func walk(v any, visit func(node)) {
	switch v := v.(type) {
	case node:
		visit(v)
		for _, inner := range v {
			walk(inner, visit)
		}
	case []any:
		for _, inner := range v {
			walk(inner, visit)
		}
	}
}

// Nothing that is secret is named, anywhere: logins are federated.
func TestPipelinesHaveNoSecrets(t *testing.T) {
	forbidden := regexp.MustCompile(`(?i)secrets\.|servicePrincipalKey|client.?secret|ARM_CLIENT_SECRET|ARM_ACCESS_KEY|azureStaticWebAppsApiToken|password|metered_key|\bcreds:`)
	for _, pattern := range []string{"azure/*.yml", "azure/templates/*.yml", "github/*.yml", "scripts/*.sh"} {
		for _, file := range pipelineFiles(t, pattern) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for i, line := range strings.Split(string(data), "\n") {
				line, _, _ = strings.Cut(line, "# ")
				if m := forbidden.FindString(strings.Replace(line, "--password-stdin", "", 1)); m != "" {
					t.Errorf("%s:%d: %q", file, i+1, m)
				}
			}
		}
	}
}

// Every script that a pipeline calls is there and can be run; every make target exists.
func TestPipelinesCallWhatIsThere(t *testing.T) {
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	tools, err := os.ReadFile("../../scripts/infra.sh")
	if err != nil {
		t.Fatal(err)
	}
	calls := 0
	for _, pattern := range []string{"azure/*.yml", "azure/templates/*.yml", "github/*.yml"} {
		for _, file := range pipelineFiles(t, pattern) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range regexp.MustCompile(`(?:deploy/pipelines/scripts|scripts)/[a-z-]+\.sh`).FindAllString(string(data), -1) {
				calls++
				if i, err := os.Stat("../../" + m); err != nil || i.Mode()&0o111 == 0 {
					t.Errorf("%s: %s: %v", file, m, err)
				}
			}
			for _, m := range regexp.MustCompile(`(?:infra\.sh tools|infra:) ([a-z -]+)`).FindAllStringSubmatch(string(data), -1) {
				for tool := range strings.FieldsSeq(m[1]) {
					if !strings.Contains(string(tools), "\n  '"+tool+" ") && tool != "tofu" {
						t.Errorf("%s: no tool %s", file, tool)
					}
				}
			}
			for _, m := range regexp.MustCompile(`make ((?:[a-z-]+ ?)+)(?:\n| #| \})`).FindAllStringSubmatch(string(data), -1) {
				for target := range strings.FieldsSeq(m[1]) {
					if !regexp.MustCompile(`(?m)^` + target + `:`).Match(makefile) {
						t.Errorf("%s: no target %s", file, target)
					}
				}
			}
		}
	}
	if calls < 10 {
		t.Fatalf("found only %d calls", calls)
	}
}

// azureJobs are the jobs of Azure Pipelines' stages, whatever expressions they are under.
func azureJobs(doc any) (jobs []node) {
	walk(doc, func(n node) {
		jobs = append(jobs, list(n["jobs"])...)
	})
	return jobs
}

func connections(job node) (names []string) {
	walk(job, func(n node) {
		if in, ok := n["inputs"].(node); ok && text(in["azureSubscription"]) != "" {
			names = append(names, text(in["azureSubscription"]))
		}
	})
	return names
}

// A job that changes something is a deployment job with an environment, where approvals are.
func TestAzurePipelinesGate(t *testing.T) {
	seen := map[string]string{}
	for _, pattern := range []string{"azure/*.yml", "azure/templates/*.yml"} {
		for _, file := range pipelineFiles(t, pattern) {
			for _, job := range azureJobs(readYAML(t, file)) {
				for _, c := range connections(job) {
					seen[c] = fmt.Sprint(job["environment"])
					if c == "causeway-plan" {
						continue
					}
					if text(job["deployment"]) == "" || text(job["environment"]) == "" {
						t.Errorf("%s: a job uses %s without an environment", file, c)
					}
				}
			}
		}
	}
	for _, want := range []string{"causeway-plan", "causeway-apply", "causeway-sign", "causeway-deploy"} {
		if seen[want] == "" {
			t.Errorf("nothing uses the connection %s", want)
		}
	}
	if len(seen) != 4 {
		t.Errorf("connections: %v", seen)
	}
}

// What is applied is the file that was planned.
func TestAzurePipelinesApplyThePlan(t *testing.T) {
	doc := readYAML(t, "../pipelines/azure/infrastructure.yml")
	stages := map[string]node{}
	for _, s := range list(doc["stages"]) {
		stages[text(s["stage"])] = s
	}
	if stages["plan"]["dependsOn"] != "test" || stages["apply"]["dependsOn"] != "plan" {
		t.Error("test, plan and apply do not follow each other")
	}
	if !has(stages["plan"], "publish", "artifact", "change") || !has(stages["apply"], "download", "artifact", "change") {
		t.Error("the plan is not handed on")
	}
	if script := allScripts(stages["apply"]); strings.Contains(script, "tofu plan") || strings.Contains(script, "auto-approve") || !strings.Contains(script, "infra-apply.sh") {
		t.Errorf("apply does something else: %s", script)
	}
	if c := text(stages["apply"]["condition"]); !strings.Contains(c, "refs/heads/main") || !strings.Contains(c, "succeeded()") {
		t.Errorf("apply's condition: %s", c)
	}
	if trig, ok := doc["pr"].(string); !ok || trig != "none" {
		t.Error("a pull request could plan, with an identity that reads secrets")
	}
}

// has reports whether some step has a key, and another key with a value.
func has(doc any, key, with, value string) (found bool) {
	walk(doc, func(n node) { found = found || n[key] != nil && n[with] == value })
	return found
}

// allScripts is what a document would run.
func allScripts(doc any) string {
	var all strings.Builder
	walk(doc, func(n node) {
		for _, k := range []string{"script", "inlineScript", "run"} {
			all.WriteString(text(n[k]) + "\n")
		}
	})
	return all.String()
}

// Tests come before every release, the check of signature and bill before every deploy, and each deploy
// is by the scripts that ask whether it works.
func TestReleasesAreTestedAndChecked(t *testing.T) {
	release := readYAML(t, "../pipelines/azure/templates/release.yml")
	stages := list(release["stages"])
	if len(stages) != 2 || stages[0]["stage"] != "test" || stages[1]["dependsOn"] != "test" || !strings.Contains(allScripts(stages[1]), "release.sh sign") {
		t.Error("azure: a release is not after its tests, or unsigned")
	}
	if !strings.Contains(allScripts(readYAML(t, "../pipelines/azure/templates/deploy.yml")), "verify.sh") {
		t.Error("azure: deploys are not checked")
	}
	for name, script := range map[string]string{"backend": "deploy-api.sh", "frontend": "deploy-site.sh", "container": "deploy-container.sh"} {
		data, err := os.ReadFile("../pipelines/azure/" + name + ".yml")
		if err != nil {
			t.Fatal(err)
		}
		deploy := strings.Index(string(data), script)
		check := strings.Index(string(data), "template: templates/deploy.yml")
		if first := strings.Index(string(data), "template: templates/release.yml"); first < 0 || check < first || deploy < check {
			t.Errorf("azure/%s: release, check and deploy are not in this order", name)
		}

		jobs := readYAML(t, "../pipelines/github/"+name+".yml")["jobs"].(node)
		if jobs["release"].(node)["needs"] != "test" || jobs["deploy"].(node)["needs"] != "release" {
			t.Errorf("github/%s: test, release and deploy do not follow each other", name)
		}
		all := allSteps(jobs["deploy"].(node))
		if v, d := strings.Index(all, "verify.sh"), strings.Index(all, script); v < 0 || d < v {
			t.Errorf("github/%s: a deploy that is not checked, or none", name)
		}
		if !strings.Contains(allSteps(jobs["test"].(node)), "make ") {
			t.Errorf("github/%s: no tests", name)
		}
	}
}

// allSteps is what a job's steps run, in order.
func allSteps(job node) string {
	var all strings.Builder
	for _, s := range list(job["steps"]) {
		all.WriteString(text(s["run"]) + text(s["uses"]) + "\n")
	}
	return all.String()
}

// Each parameter that a template uses is declared, and what is given is used.
func TestAzureTemplateParameters(t *testing.T) {
	use := regexp.MustCompile(`parameters\.([A-Za-z]+)`)
	declared := map[string]map[string]bool{}
	files := append(pipelineFiles(t, "azure/templates/*.yml"), pipelineFiles(t, "azure/*.yml")...)
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		names := map[string]bool{}
		for _, p := range list(readYAML(t, file)["parameters"]) {
			names[text(p["name"])] = true
		}
		declared[filepath.Base(file)] = names
		for _, m := range use.FindAllStringSubmatch(string(data), -1) {
			if !names[m[1]] {
				t.Errorf("%s: parameter %s is not declared", file, m[1])
			}
		}
		for name := range names {
			if !strings.Contains(string(data), "parameters."+name) {
				t.Errorf("%s: parameter %s is not used", file, name)
			}
		}
	}
	for _, file := range files {
		walk(readYAML(t, file), func(n node) {
			template := text(n["template"])
			if template == "" {
				return
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), template)); err != nil {
				t.Errorf("%s: %v", file, err)
			}
			given, _ := n["parameters"].(node)
			for name := range given {
				if !declared[filepath.Base(template)][name] {
					t.Errorf("%s: %s has no parameter %s", file, template, name)
				}
			}
		})
	}
}

// A job that logs in to Azure has an environment of its own and no more rights than it needs; actions are
// named by commit; what comes from outside is not pasted into scripts.
func TestGitHubWorkflows(t *testing.T) {
	pinned := regexp.MustCompile(`^[a-z]+/[a-z-]+@[0-9a-f]{40}$`)
	environments := map[string]bool{}
	for _, file := range pipelineFiles(t, "github/*.yml") {
		doc := readYAML(t, file)
		if p, _ := doc["permissions"].(node); len(p) != 1 || p["contents"] != "read" {
			t.Errorf("%s: the permissions of all jobs are %v", file, doc["permissions"])
		}
		for name, j := range doc["jobs"].(node) {
			job := j.(node)
			permissions, _ := job["permissions"].(node)
			if permissions["id-token"] == "write" {
				env := text(job["environment"])
				environments[env] = true
				if env == "" {
					t.Errorf("%s: %s logs in without an environment", file, name)
				}
			} else if strings.Contains(allSteps(job), "azure/login") {
				t.Errorf("%s: %s logs in without a token of its own", file, name)
			}
			for _, s := range list(job["steps"]) {
				if u := text(s["uses"]); u != "" && !pinned.MatchString(u) {
					t.Errorf("%s: %s is not named by commit", file, u)
				}
				if strings.Contains(text(s["run"]), "${{") {
					t.Errorf("%s: an expression in a script: %s", file, text(s["run"]))
				}
			}
		}
	}
	if len(environments) != 4 {
		t.Errorf("environments: %v", environments)
	}
	jobs := readYAML(t, "../pipelines/github/infrastructure.yml")["jobs"].(node)
	plan, apply := jobs["plan"].(node), jobs["apply"].(node)
	if plan["needs"] != "test" || apply["needs"] != "plan" || plan["environment"] == apply["environment"] {
		t.Error("infrastructure: test, plan and apply do not follow each other, or are one identity")
	}
	if a := allSteps(apply); !strings.Contains(a, "download-artifact") || !strings.Contains(a, "infra-apply.sh") || strings.Contains(a, "infra-plan.sh") {
		t.Errorf("infrastructure: apply does something else: %s", a)
	}
	if c := text(apply["if"]); !strings.Contains(c, "refs/heads/main") {
		t.Errorf("infrastructure: apply on any branch: %s", c)
	}
}

// No pipeline is a database administrator, or has anything to do with the database.
func TestPipelinesLeaveTheDatabaseAlone(t *testing.T) {
	for _, pattern := range []string{"azure/*.yml", "azure/templates/*.yml", "github/*.yml", "scripts/*.sh"} {
		for _, file := range pipelineFiles(t, pattern) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if m := regexp.MustCompile(`(?i)sqlcmd|bootstrap_sql|database\.windows\.net|az sql`).FindString(string(data)); m != "" {
				t.Errorf("%s: %q", file, m)
			}
		}
	}
}

func TestActionlint(t *testing.T) {
	needInfra(t)
	args := append([]string{"-no-color", "-shellcheck=", "-pyflakes="}, pipelineFiles(t, "github/*.yml")...)
	config := filepath.Join(t.TempDir(), "actionlint.yaml")
	if err := os.WriteFile(config, []byte("self-hosted-runner:\n  labels: [causeway]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := run(t, ".", nil, "actionlint", append([]string{"-config-file", config}, args...)...); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
