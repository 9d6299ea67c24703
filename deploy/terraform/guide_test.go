package terraform

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// commands returns the commands of some of the guide's sections, in order.
func commands(t *testing.T, sections ...string) string {
	t.Helper()
	guide, err := os.ReadFile("../../docs/azure.md")
	if err != nil {
		t.Fatal(err)
	}
	var script strings.Builder
	for _, name := range sections {
		_, section, found := strings.Cut(string(guide), "\n## "+name)
		if !found {
			t.Fatalf("docs/azure.md has no section %q", name)
		}
		section, _, _ = strings.Cut(section, "\n## ")
		blocks := strings.Split(section, "```sh\n")[1:]
		if len(blocks) == 0 {
			t.Fatalf("section %q has no commands", name)
		}
		for _, block := range blocks {
			block, _, _ = strings.Cut(block, "```")
			script.WriteString(block)
		}
	}
	return script.String()
}

// bystanders are the programs of the guide that want an account. Each accepts what the guide says and nothing else, says what the
// guide goes on with, and writes down that it was called.
var bystanders = map[string]string{
	"az": `echo "az $*" >>"$LOG"
case "$*" in
login | "account set --subscription 00000000-0000-0000-0000-000000000000") ;;
"ad group create --display-name database-admins --mail-nickname database-admins") ;;
"ad signed-in-user show --query id -o tsv") echo 22222222-2222-2222-2222-222222222222 ;;
"ad group member add --group database-admins --member-id 22222222-2222-2222-2222-222222222222") ;;
"ad app create --display-name causeway-upstream --sign-in-audience AzureADMyOrg --query appId -o tsv") echo 33333333-3333-3333-3333-333333333333 ;;
"ad sp create --id 33333333-3333-3333-3333-333333333333") ;;
"functionapp deployment source config-zip -g rg-causewayabc -n func-causewayabc --src functions.zip") unzip -tq functions.zip >&2 ;;
"staticwebapp secrets list -g rg-causewayabc -n stapp-causewayabc --query properties.apiKey -o tsv") echo the-sites-token ;;
"group create -n rg-signing -l westeurope") ;;
"keyvault create -n kv-signing -g rg-signing --enable-rbac-authorization --enable-purge-protection --query id -o tsv") echo /subscriptions/s/vaults/kv-signing ;;
"role assignment create --role Key Vault Crypto Officer --assignee-object-id 22222222-2222-2222-2222-222222222222 --assignee-principal-type User --scope /subscriptions/s/vaults/kv-signing") ;;
"role assignment create --role Key Vault Crypto User --assignee-object-id "*" --assignee-principal-type ServicePrincipal --scope /subscriptions/s/vaults/kv-signing/keys/causeway") [ ${#7} = 36 ] ;;
"keyvault key create --vault-name kv-signing --name causeway --kty EC --curve P-256 --ops sign verify") ;;
"keyvault key download --id https://kv-signing.vault.azure.net/keys/causeway --encoding PEM --file deploy/pipelines/release.pub") ;;
*) echo "az: nobody expects: $*" >&2; exit 1 ;;
esac`,
	"sqlcmd": `[ "$*" = "-S sql-causewayabc.database.windows.net -d causeway --authentication-method ActiveDirectoryDefault -i bootstrap.sql" ] && grep -q 'CREATE USER' bootstrap.sql && echo sqlcmd >>"$LOG"`,
	"make":   `[ "$*" = build ] && ls bin/causeway internal/web/dist/index.html >/dev/null && echo "make $*" >>"$LOG"`,
	"npm":    `[ "$*" = "--prefix deploy/site ci --ignore-scripts" ] && echo npm >>"$LOG"`,
}

// walkThrough does what the guide says, from an empty subscription to pages that are deployed, a new key, and pipelines: each command
// as it is written there. OpenTofu, the provider, the package and the pages are real; what wants an account is played.
func walkThrough(t *testing.T, a *azure) {
	tree := guideTree(t)
	log := filepath.Join(tree, "log")
	env := append(a.env(), "PATH="+fakes(t, bystanders)+":"+os.Getenv("PATH"), "LOG="+log,
		"TF_CLI_ARGS_apply=-auto-approve", "TF_VAR_role_propagation=0s", // who sits at a terminal is asked, and has the time
		"SUBSCRIPTION=00000000-0000-0000-0000-000000000000", "KEY="+meteredKey, "NEW=another-key")
	script := commands(t, "1. What you need", "2. Set up", "3. The database", "4. The package", "5. Does it work")
	if out, err := run(t, tree, env, "bash", "-euo", "pipefail", "-c", script); err != nil {
		t.Fatalf("the guide's first sections: %v\n%s", err, out)
	}
	calls, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"az login", "az ad sp create", "sqlcmd", "make build", "az functionapp deployment", "npm", "swa", "smoke https://func-causewayabc.azurewebsites.net"} {
		if !strings.Contains(string(calls), want) {
			t.Errorf("the guide did not call %s:\n%s", want, calls)
		}
	}
	if key, _ := a.Secret("kv-causewayabc", "meteredkey"); key != meteredKey {
		t.Errorf("the vault has the key %q", key)
	}

	// An update by the vault, as the guide says; then a new key.
	example := filepath.Join(tree, "deploy/terraform/azure/examples/single-region")
	id := strings.TrimSpace(must(t, example, env, "tofu", "output", "-raw", "key_vault_id"))
	appendTo(t, filepath.Join(example, "terraform.tfvars"), "azure_key_vault_id = \""+id+"\"\n")
	must(t, example, env, "tofu", "apply")
	must(t, tree, append(env, "EXAMPLE="+example), "bash", "-euo", "pipefail", "-c", inline(t, "tofu -chdir=$EXAMPLE apply -var metered_key="))
	if key, _ := a.Secret("kv-causewayabc", "meteredkey"); key != "another-key" {
		t.Errorf("after the rotation the vault has the key %q", key)
	}

	pipelines := commands(t, "Pipelines")
	// No stand-in has the state's storage: what init is given is looked at.
	pipelines, _, found := strings.Cut(pipelines, "tofu -chdir=$EXAMPLE init -migrate-state -backend-config=backend.hcl")
	if !found {
		t.Error("the guide moves the state in another way")
	}
	must(t, tree, append(env, "EXAMPLE="+example), "bash", "-euo", "pipefail", "-c", pipelines)
	backend, err := os.ReadFile(filepath.Join(example, "backend.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"key = \"causeway.tfstate\"\n", "storage_account_name = \"", "container_name = \"", "use_azuread_auth = \"true\"\n"} {
		if !strings.Contains(string(backend), want) {
			t.Errorf("backend.hcl lacks %s:\n%s", want, backend)
		}
	}
	if code, err := os.ReadFile(filepath.Join(example, "terraform.tf")); err != nil || !strings.Contains(string(code), "\n  backend \"azurerm\" {}") {
		t.Errorf("the backend's line is not in: %v", err)
	}
}

// guideTree is what the guide needs of a clone.
func guideTree(t *testing.T) string {
	t.Helper()
	tree := filepath.Join(t.TempDir(), "causeway")
	copyInto(t, "azure", filepath.Join(tree, "deploy/terraform/azure"))
	for _, name := range []string{"render.mjs", "staticwebapp.config.json"} {
		copyInto(t, filepath.Join("../site", name), filepath.Join(tree, "deploy/site", name))
	}
	must(t, "../..", nil, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(tree, "bin", "real"), "./cmd/causeway")
	for name, text := range map[string]string{
		"internal/web/dist/index.html": "<!doctype html><title>Causeway</title>",
		"deploy/pipelines/release.pub": "",
		"bin/causeway":                 "#!/bin/sh\ncase $1 in smoke) echo \"$*\" >>\"$LOG\" ;; *) exec bin/real \"$@\" ;; esac\n",
		"deploy/site/node_modules/.bin/swa": "#!/usr/bin/env bash\n" +
			`[ "$*" = "deploy site --env production" ] && [ "$SWA_CLI_DEPLOYMENT_TOKEN" = the-sites-token ] && ls site/index.html site/regions.json >/dev/null && echo swa >>"$LOG"`,
	} {
		file := filepath.Join(tree, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return tree
}

// inline returns the command in the guide's text that begins in a certain way.
func inline(t *testing.T, start string) string {
	t.Helper()
	guide, err := os.ReadFile("../../docs/azure.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(guide), "`"+start)
	command, _, _ := strings.Cut(after, "`")
	if !found {
		t.Fatalf("docs/azure.md has no command %s", start)
	}
	return start + command
}

func appendTo(t *testing.T, file, text string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, append(data, text...), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
