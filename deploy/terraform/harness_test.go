package terraform

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io/fs"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"causeway/internal/armtest"
)

// Who comes to the stand-in, and where.
const (
	tenant    = "00000000-0000-0000-0000-0000000000bb"
	oidcToken = "the-pipelines-own-token"
)

func pipelineIdentity() armtest.Identity {
	return armtest.Identity{
		Tenant: tenant, Client: "00000000-0000-0000-0000-0000000000cc", Object: "00000000-0000-0000-0000-0000000000dd", Assertion: oidcToken,
	}
}

// needInfra skips in a plain go test ./..., which has neither the tools nor the namespace. Nothing is lost by it: make test-infra, and
// with it .ci/run, builds them and runs these tests without a skip.
func needInfra(t *testing.T) {
	t.Helper()
	if os.Getenv("CAUSEWAY_TEST_INFRA") == "" {
		t.Skip("run by: make test-infra")
	}
}

func full() bool { return os.Getenv("CAUSEWAY_TEST_INFRA") == "full" }

// azure is a stand-in that runs. All tests share it; examples differ in their subscriptions.
type azure struct {
	*armtest.Server
	roots string // file with the authority that the provider is to believe
}

// serve starts a stand-in at port 443, which is this namespace's own.
func serve(t *testing.T) *azure {
	t.Helper()
	a := &azure{Server: armtest.New(pipelineIdentity()), roots: filepath.Join(t.TempDir(), "roots.pem")}
	names := []string{armtest.Host, armtest.LoginHost, "*" + armtest.VaultSuffix}
	cert, root := selfSigned(t, names)
	if err := os.WriteFile(a.roots, root, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:443")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{
		Handler: a, ReadHeaderTimeout: time.Minute, ErrorLog: log.New(testLog{t}, "", 0),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12},
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.ServeTLS(l, "", "") // ends by Close
	}()
	t.Cleanup(func() {
		_ = srv.Close()
		<-done
	})
	return a
}

type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Logf("stand-in: %s", bytes.TrimSpace(p))
	return len(p), nil
}

func selfSigned(t *testing.T, names []string) (tls.Certificate, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "stand-in"}, DNSNames: names,
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// copyTree copies the module and its examples, so that nothing is written into the work tree.
func copyTree(t *testing.T, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "azure")
	copyInto(t, from, to)
	return to
}

// copyInto copies a file, or a folder with what is in it.
func copyInto(t *testing.T, from, to string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(from, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		switch {
		case d.IsDir():
			return os.MkdirAll(target, 0o755)
		case d.Type()&fs.ModeSymlink != 0:
			link, err := os.Readlink(name)
			if err != nil {
				return err
			}
			return os.Symlink(link, target)
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		return os.WriteFile(target, data, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// patience bounds one command of OpenTofu.
const patience = 20 * time.Minute

// run runs a command, and returns what it said and whether it was content.
func run(t *testing.T, dir string, env []string, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func must(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	out, err := run(t, dir, env, name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

// plain is the environment of OpenTofu where it asks nobody.
func plain() []string {
	return []string{"TF_IN_AUTOMATION=1", "TF_INPUT=0", "CHECKPOINT_DISABLE=1", "NO_COLOR=1", "TF_CLI_ARGS=-no-color"}
}

// env is that where it asks the stand-in, in the way of a pipeline: by a federated token.
func (a *azure) env() []string {
	i := pipelineIdentity()
	return append(plain(),
		"SSL_CERT_FILE="+a.roots,
		"ARM_METADATA_HOSTNAME="+armtest.Host,
		"ARM_TENANT_ID="+i.Tenant, "ARM_CLIENT_ID="+i.Client,
		"ARM_USE_OIDC=true", "ARM_OIDC_TOKEN="+i.Assertion, "ARM_USE_CLI=false",
	)
}

// module is a copy of the infrastructure code, initialised where it is asked for.
func initialized(t *testing.T, tree, dir string) string {
	t.Helper()
	root := filepath.Join(tree, dir)
	must(t, root, plain(), "tofu", "init", "-backend=false", "-test-directory=tests/unit")
	return root
}

// example is one that is planned and applied, with its variables.
type example struct {
	name, dir string
	vars      map[string]any
}

func examples() []example {
	guid := func(n string) string {
		return strings.Repeat("0", 8) + "-0000-0000-0000-" + strings.Repeat("0", 12-len(n)) + n
	}
	common := map[string]any{
		"deployers":                    map[string]string{"me": guid("1")},
		"planners":                     map[string]string{"pipeline": guid("2")},
		"public_ip_address_of_it_team": "203.0.113.7",
		"agent_ip_addresses":           []string{"203.0.113.9"},
		"metered_app":                  "example",
		"monthly_budget":               100,
		"budget_start":                 firstOfMonth(),
		"budget_contacts":              []string{"ops@example.org"},
		"role_propagation":             "0s",
	}
	serverless := map[string]any{
		"database_administrators": map[string]string{"name": "database-admins", "object_id": guid("3")},
		"upstream_audience":       guid("4"),
	}
	with := func(more ...map[string]any) map[string]any {
		all := map[string]any{}
		for _, m := range append([]map[string]any{common}, more...) {
			for k, v := range m {
				all[k] = v
			}
		}
		return all
	}
	all := []example{
		{"single-region", "examples/single-region", with(serverless, map[string]any{"suffix": "tst"})},
		{"single-region-production", "examples/single-region", with(serverless, map[string]any{"suffix": "tstp", "environment": "production"})},
		{"two-region", "examples/two-region", with(serverless, map[string]any{"suffix": "tst"})},
		{"container-apps", "examples/container-apps", with(map[string]any{
			"suffix": "tstca", "image": "example.azurecr.io/causeway@sha256:" + strings.Repeat("ab", 32), "registry_server": "example.azurecr.io",
			"registry_id": "/subscriptions/" + guid("103") + "/resourceGroups/rg-images/providers/Microsoft.ContainerRegistry/registries/example",
		})},
		{"delivery", "examples/delivery", map[string]any{
			"suffix": "tst",
			"issuer": "https://token.actions.githubusercontent.com",
			"subjects": map[string]string{
				"plan":   "repo:example/causeway:environment:azure-plan",
				"apply":  "repo:example/causeway:environment:azure-apply",
				"sign":   "repo:example/causeway:environment:azure-sign",
				"deploy": "repo:example/causeway:environment:azure-deploy",
			},
			"scopes":             map[string]string{"causeway": "/subscriptions/" + guid("104") + "/resourceGroups/rg-causewaytst"},
			"container_apps":     map[string]string{"causeway": "/subscriptions/" + guid("104") + "/resourceGroups/rg-causewaytstca/providers/Microsoft.App/containerApps/ca-causewaytstca"},
			"registries":         map[string]string{"ours": "/subscriptions/" + guid("104") + "/resourceGroups/rg-images/providers/Microsoft.ContainerRegistry/registries/example"},
			"agent_ip_addresses": []string{"203.0.113.9"},
		}},
	}
	for i, e := range all {
		e.vars["subscription_id"] = guid(strconv.Itoa(100 + i))
	}
	return all
}

func (e example) subscription() string { return e.vars["subscription_id"].(string) }

// firstOfMonth is a date that budgets accept; golden files have another.
func firstOfMonth() string { return time.Now().UTC().Format("2006-01") + "-01" }

func findExample(t *testing.T, name string) example {
	t.Helper()
	all := examples()
	i := slices.IndexFunc(all, func(e example) bool { return e.name == name })
	if i < 0 {
		t.Fatalf("no example %s", name)
	}
	return all[i]
}

// meteredKey is looked for where it must not be.
const meteredKey = "sentinel-8d1f2c"

// plan plans an example, and returns the plan's file.
func (e example) plan(t *testing.T, a *azure, root string, more ...string) (string, error) {
	t.Helper()
	vars, err := json.Marshal(e.vars)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "test.tfvars.json"), vars, 0o600); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"plan", "-var-file=test.tfvars.json", "-out=set-up.plan"}, append(e.key(), more...)...)
	return run(t, root, a.env(), "tofu", args...)
}

// key is the flag that gives the key, where an example has one.
func (e example) key() []string {
	if e.vars["metered_app"] == nil {
		return nil
	}
	return []string{"-var=metered_key=" + meteredKey}
}

func planJSON(t *testing.T, a *azure, root string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "tofu", "show", "-json", "set-up.plan")
	cmd.Dir, cmd.Env = root, append(os.Environ(), a.env()...)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("show: %v", err)
	}
	return out
}

// denied asks the policy what is wrong with a plan.
func denied(t *testing.T, plan []byte) []string {
	t.Helper()
	return asked(t, plan, "data.causeway.deny")
}

// asked asks for a set of the policy's.
func asked(t *testing.T, plan []byte, set string) []string {
	t.Helper()
	policy, err := filepath.Abs("azure/policy/causeway.rego")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "opa", "eval", "--format", "json", "--data", policy, "--stdin-input", set)
	cmd.Stdin = bytes.NewReader(plan)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("opa: %v\n%s%s", err, stderr.String(), out)
	}
	var result struct {
		Result []struct {
			Expressions []struct{ Value []string }
		}
	}
	if err := json.Unmarshal(out, &result); err != nil || len(result.Result) != 1 {
		t.Fatalf("opa: %v: %s", err, out)
	}
	return result.Result[0].Expressions[0].Value
}

func exitCode(err error) int {
	if e := (*exec.ExitError)(nil); errors.As(err, &e) {
		return e.ExitCode()
	}
	if err != nil {
		return -1
	}
	return 0
}
