package terraform

import (
	"archive/zip"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// signer stands in for the key in Key Vault, behind an az of our own.
type signer struct {
	key  *ecdsa.PrivateKey
	file string // its public part
}

func newSigner(t *testing.T) signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	s := signer{key, filepath.Join(t.TempDir(), "release.pub")}
	if err := os.WriteFile(s.file, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o644); err != nil {
		t.Fatal(err)
	}
	return s
}

// sign is what the vault does: ES256 of a digest, both numbers one behind the other.
func (s signer) sign(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(data)
	r, v, err := ecdsa.Sign(rand.Reader, s.key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	raw := make([]byte, 64)
	r.FillBytes(raw[:32])
	v.FillBytes(raw[32:])
	return base64.RawURLEncoding.EncodeToString(raw)
}

// release makes a release of Causeway's own binary, and signs it by the script.
func release(t *testing.T, s signer) string {
	t.Helper()
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	must(t, "../..", nil, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", in("causeway"), "./cmd/causeway")
	packed(t, in("functions.zip"), in("causeway"))
	must(t, dir, nil, "cyclonedx-gomod", "bin", "-json", "-std", "-output", in("sbom.json"), in("causeway"))
	if err := os.WriteFile(in("site.tar.gz"), []byte("pages"), 0o644); err != nil {
		t.Fatal(err)
	}
	sums(t, dir)
	resign(t, s, dir)
	return dir
}

func packed(t *testing.T, file, binary string) {
	t.Helper()
	data, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create("causeway")
	if err == nil {
		_, err = w.Write(data)
	}
	if err == nil {
		err = z.Close()
	}
	if err == nil {
		err = os.WriteFile(file, b.Bytes(), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func sums(t *testing.T, dir string) {
	t.Helper()
	var text strings.Builder
	for _, name := range []string{"causeway", "functions.zip", "sbom.json", "site.tar.gz"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(data)
		fmt.Fprintf(&text, "%s  %s\n", hex.EncodeToString(sum[:]), name)
	}
	if err := os.WriteFile(filepath.Join(dir, "SHA256SUMS"), []byte(text.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

const signingKeyID = "https://kv-signing.vault.azure.net/keys/causeway"

// resign runs the script with an az that signs as the vault would.
func resign(t *testing.T, s signer, dir string) {
	t.Helper()
	bin := fakes(t, map[string]string{"az": `[ "$*" = "keyvault key sign --id ` + signingKeyID + ` --algorithm ES256 --digest $DIGEST --query signature --output tsv" ] || { echo "az: $*" >&2; exit 1; }
echo "$SIGNATURE"`})
	data, err := os.ReadFile(filepath.Join(dir, "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(data)
	env := []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "DIGEST=" + base64.StdEncoding.EncodeToString(digest[:]), "SIGNATURE=" + s.sign(t, filepath.Join(dir, "SHA256SUMS"))}
	must(t, ".", env, "../pipelines/scripts/release.sh", "sign", dir, signingKeyID)
}

// fakes makes a folder of programs, in bash.
func fakes(t *testing.T, programs map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, script := range programs {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/usr/bin/env bash\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Only what is signed by our key, whole, and has its own bill of materials may be deployed.
func TestReleaseIsVerified(t *testing.T) {
	needInfra(t)
	t.Parallel()
	ours, theirs := newSigner(t), newSigner(t)
	good := release(t, ours)
	if out, err := run(t, ".", nil, "../pipelines/scripts/verify.sh", good, ours.file); err != nil {
		t.Fatalf("a good release: %v\n%s", err, out)
	}
	appendTo := func(name string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			f, err := os.OpenFile(filepath.Join(dir, name), os.O_APPEND|os.O_WRONLY, 0)
			if err == nil {
				_, err = f.WriteString("x")
			}
			if err == nil {
				err = f.Close()
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		name, want string
		spoil      func(t *testing.T, dir string)
	}{
		{"another key", "not of our key", func(t *testing.T, dir string) { resign(t, theirs, dir) }},
		{"no signature", "SHA256SUMS.sig is missing", func(t *testing.T, dir string) { remove(t, dir, "SHA256SUMS.sig") }},
		{"other sums", "not of our key", appendTo("SHA256SUMS")},
		{"another package", "not what was signed", appendTo("functions.zip")},
		{"other pages", "not what was signed", appendTo("site.tar.gz")},
		{"no bill", "sbom.json is missing", func(t *testing.T, dir string) { remove(t, dir, "sbom.json") }},
		{"packed another binary", "has another binary", func(t *testing.T, dir string) {
			packed(t, filepath.Join(dir, "functions.zip"), filepath.Join(dir, "site.tar.gz"))
			sums(t, dir)
			resign(t, ours, dir)
		}},
		{"another's bill", "sbom.json lacks", func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, "sbom.json"), []byte(`{"bomFormat":"CycloneDX","components":[]}`), 0o644); err != nil {
				t.Fatal(err)
			}
			sums(t, dir)
			resign(t, ours, dir)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := copyTree(t, good)
			c.spoil(t, dir)
			if out, err := run(t, ".", nil, "../pipelines/scripts/verify.sh", dir, ours.file); err == nil || !strings.Contains(out, c.want) {
				t.Errorf("%v, %q; want %q", err, out, c.want)
			}
		})
	}
}

func remove(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

// A deploy of the API ends with a package that works, or says that it doesn't.
func TestDeployAPI(t *testing.T) {
	for _, c := range []struct {
		name              string
		newWorks, oldWork bool
		previous          bool
		code              int
		pushed            string
	}{
		{"works", true, true, true, 0, "new"},
		{"rolled back", false, true, true, 1, "new old"},
		{"nothing to roll back to", false, false, false, 1, "new"},
		{"both broken", false, false, true, 3, "new old"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, works := range map[string]bool{"new": c.newWorks, "old": c.oldWork} {
				sub := filepath.Join(dir, name)
				if err := os.MkdirAll(sub, 0o755); err != nil {
					t.Fatal(err)
				}
				for file, text := range map[string]string{
					"functions.zip": name,
					"causeway":      fmt.Sprintf("#!/usr/bin/env bash\n[ \"$*\" = 'smoke https://app.test --no-relay' ] && %t\n", works),
				} {
					if err := os.WriteFile(filepath.Join(sub, file), []byte(text), 0o755); err != nil {
						t.Fatal(err)
					}
				}
			}
			log := filepath.Join(dir, "log")
			bin := fakes(t, map[string]string{"az": `[ "$1 $2 $3 $4" = "functionapp deployment source config-zip" ] || exit 9
while [ "$1" != --src ]; do shift; done; cat "$2" >>"$LOG"; echo >>"$LOG"`})
			env := []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "LOG=" + log, "CAUSEWAY_SMOKE_PAUSE=0"}
			previous := ""
			if c.previous {
				previous = filepath.Join(dir, "old")
			}
			out, err := run(t, ".", env, "../pipelines/scripts/deploy-api.sh", "group", "app", "https://app.test", filepath.Join(dir, "new"), previous, "--no-relay")
			if code := exitCode(err); code != c.code {
				t.Errorf("exit code %d, want %d\n%s", code, c.code, out)
			}
			pushed, err := os.ReadFile(log)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(strings.Fields(string(pushed)), " "); got != c.pushed {
				t.Errorf("pushed %q, want %q", got, c.pushed)
			}
		})
	}
}

// pagesOf makes a release whose pages say its name.
func pagesOf(t *testing.T, release string) {
	t.Helper()
	pages := filepath.Join(release, "pages")
	if err := os.MkdirAll(pages, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(pages, "index.html"), []byte(filepath.Base(release)), 0o644); err != nil {
		t.Fatal(err)
	}
	must(t, release, nil, "tar", "-C", pages, "-czf", filepath.Join(release, "site.tar.gz"), ".")
}

// A deploy of the pages ends with pages that are right, or says that they aren't.
func TestDeploySite(t *testing.T) {
	for _, c := range []struct {
		name     string
		broken   string // releases whose pages come without their policy
		previous bool
		code     int
		pushed   string
	}{
		{"works", "", true, 0, "new"},
		{"rolled back", "new", true, 1, "new old"},
		{"nothing to roll back to", "new", false, 1, "new"},
		{"both broken", "new old", true, 3, "new old"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			pagesOf(t, filepath.Join(dir, "new"))
			pagesOf(t, filepath.Join(dir, "old"))
			regions := filepath.Join(dir, "regions.json")
			if err := os.WriteFile(regions, []byte(twoRegions), 0o644); err != nil {
				t.Fatal(err)
			}
			bin := fakes(t, map[string]string{
				"az": `[ "$*" = "staticwebapp secrets list --resource-group group --name site --query properties.apiKey --output tsv" ] && echo token`,
				"swa": `[ "$SWA_CLI_DEPLOYMENT_TOKEN" = token ] && [ "$1" = deploy ] && [ "$3 $4" = "--env production" ] || exit 9
rm -rf "$SITE"; cp -r "$2" "$SITE"; cat "$2/index.html" >>"$LOG"; echo >>"$LOG"`,
				"curl": `for url; do :; done
case $url in
  https://site.test/release.txt*) cat "$SITE/release.txt" ;;
  https://site.test/) [[ " $BROKEN " == *" $(cat "$SITE/index.html") "* ]] || grep -o '"Content-Security-Policy": "[^"]*' "$SITE/staticwebapp.config.json" | tr -d '"' ;;
  *) exit 22 ;;
esac`,
			})
			env := []string{
				"PATH=" + bin + ":" + os.Getenv("PATH"), "LOG=" + filepath.Join(dir, "log"), "SITE=" + filepath.Join(dir, "site"),
				"BROKEN=" + c.broken, "CAUSEWAY_SMOKE_PAUSE=0",
			}
			previous := ""
			if c.previous {
				previous = filepath.Join(dir, "old")
			}
			out, err := run(t, ".", env, "../pipelines/scripts/deploy-site.sh", "group", "site", "https://site.test", filepath.Join(dir, "new"), previous, regions)
			if code := exitCode(err); code != c.code {
				t.Errorf("exit code %d, want %d\n%s", code, c.code, out)
			}
			pushed, err := os.ReadFile(filepath.Join(dir, "log"))
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(strings.Fields(string(pushed)), " "); got != c.pushed {
				t.Errorf("pushed %q, want %q\n%s", got, c.pushed, out)
			}
		})
	}
}

// What is applied is what was planned, and a plan that the policy refuses is none.
func TestPlanAndApplyScripts(t *testing.T) {
	bin := fakes(t, map[string]string{
		"tofu": `echo "$*" >>"$LOG"
case $1 in
  plan) for a; do case $a in -out=*) echo plan >"${a#-out=}" ;; esac; done; echo 'Plan: 1 to add'; exit "$CODE" ;;
  show) echo '{}' ;;
  output) echo '[]' ;;
esac`,
		"opa": `case $* in *count*) echo 1 ;; *) printf %s "$COMPLAINTS" ;; esac`,
	})
	for _, c := range []struct {
		name, code, complaints string
		exit                   int
	}{
		{"something to do", "2", "", 2},
		{"nothing to do", "0", "", 0},
		{"a plan that fails", "1", "", 1},
		{"refused by the policy", "2", "x: access keys are on", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, out := t.TempDir(), filepath.Join(t.TempDir(), "change")
			log := filepath.Join(dir, "log")
			env := []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "LOG=" + log, "CODE=" + c.code, "COMPLAINTS=" + c.complaints}
			said, err := run(t, ".", env, "../pipelines/scripts/infra-plan.sh", dir, out)
			if code := exitCode(err); code != c.exit || !strings.Contains(said, c.complaints) {
				t.Fatalf("exit code %d, want %d\n%s", code, c.exit, said)
			}
			apply := func() (string, error) { return run(t, ".", env, "../pipelines/scripts/infra-apply.sh", dir, out) }
			said, err = apply()
			if c.exit == 1 {
				if err == nil {
					t.Fatalf("what was refused can be applied\n%s", said)
				}
				return
			}
			if err != nil {
				t.Fatalf("apply: %v\n%s", err, said)
			}
			data, err := os.ReadFile(log)
			if err != nil {
				t.Fatal(err)
			}
			if want := "apply -lock-timeout=5m " + out + "/change.plan"; !strings.Contains(string(data), want) {
				t.Errorf("not applied as planned: %s", data)
			}
			if err := os.WriteFile(filepath.Join(out, "change.plan"), []byte("another"), 0o644); err != nil {
				t.Fatal(err)
			}
			if said, err := apply(); err == nil || !strings.Contains(said, "not the one that was made") {
				t.Errorf("another plan was applied: %v\n%s", err, said)
			}
		})
	}
}
