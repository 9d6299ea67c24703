package terraform

import (
	"bufio"
	"bytes"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// storage has buildah keep all that it makes in a folder of the test.
func storage(t *testing.T) []string {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "storage.conf")
	text := fmt.Sprintf("[storage]\ndriver = \"vfs\"\ngraphroot = %q\nrunroot = %q\n", filepath.Join(dir, "graph"), filepath.Join(dir, "run"))
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(file, 65532, 65532); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("files of others can't be made: run as root: %v", err)
		}
		t.Skipf("SKIPPED, NOTHING PROVED: files of others can't be made: run as root: %v", err)
	}
	return []string{"CONTAINERS_STORAGE_CONF=" + file, "STORAGE_DRIVER=vfs"}
}

// imageConfig is what a container engine starts.
type imageConfig struct {
	User            string
	Env             []string
	Entrypoint, Cmd []string
}

// TestImage builds the image, twice, and runs what is in it as an engine would: as its user, in its root, with its
// environment. It is asked what the platform asks.
func TestImage(t *testing.T) {
	needInfra(t)
	t.Parallel()
	env := storage(t)
	binary := filepath.Join(t.TempDir(), "causeway")
	must(t, "../..", []string{"CGO_ENABLED=0"}, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", binary, "./cmd/causeway")
	build := func(tag string) string {
		return strings.TrimSpace(must(t, ".", env, "../container/build.sh", binary, tag))
	}
	if first, second := build("localhost/causeway:one"), build("localhost/causeway:two"); first != second || len(first) != 64 {
		t.Errorf("the same files make two images, %q and %q", first, second)
	}
	var image struct {
		OCIv1 struct{ Config imageConfig }
	}
	if err := json.Unmarshal([]byte(must(t, ".", env, "buildah", "inspect", "--type", "image", "localhost/causeway:one")), &image); err != nil {
		t.Fatal(err)
	}
	container := strings.TrimSpace(must(t, ".", env, "buildah", "from", "localhost/causeway:one"))
	root := strings.TrimSpace(must(t, ".", env, "buildah", "mount", container))
	checkFiles(t, root, binary)

	base := startImage(t, root, image.OCIv1.Config)
	client := &http.Client{Timeout: 30 * time.Second}
	for _, path := range []string{"/readyz", "/healthz"} {
		res, err := client.Get(base + path)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
	made, err := os.ReadDir(filepath.Join(root, "data"))
	if err != nil || len(made) == 0 {
		t.Errorf("it keeps nothing in /data: %v, %v", made, err)
	}
}

// checkFiles says that nothing is in the image but what is wanted, and that its user can change none of it.
func checkFiles(t *testing.T, root, binary string) {
	t.Helper()
	got := must(t, root, nil, "find", ".", "-mindepth", "1", "-not", "-type", "d", "-printf", "%P %m %U\n", "-o", "-user", "65532", "-printf", "%P %m\n")
	want := map[string]bool{"causeway 555 0": true, "etc/ssl/certs/ca-certificates.crt 444 0": true, "data 700": true, "tmp 700": true}
	for line := range strings.Lines(got) {
		if !want[strings.TrimSpace(line)] {
			t.Errorf("in the image: %s", line)
		}
		delete(want, strings.TrimSpace(line))
	}
	if len(want) > 0 {
		t.Errorf("not in the image: %v", want)
	}
	if out, err := run(t, ".", nil, "cmp", filepath.Join(root, "causeway"), binary); err != nil {
		t.Errorf("another binary: %s", out)
	}
	certificates, err := os.ReadFile(filepath.Join(root, "etc/ssl/certs/ca-certificates.crt"))
	if err != nil || !x509.NewCertPool().AppendCertsFromPEM(certificates) {
		t.Errorf("no certificates: %v", err)
	}
}

// startImage starts what the image says, at a port that is free, and returns where that is.
func startImage(t *testing.T, root string, c imageConfig) string {
	t.Helper()
	user, group, _ := strings.Cut(c.User, ":")
	uid, err := strconv.ParseUint(user, 10, 32)
	if err != nil || uid == 0 || group != user {
		t.Fatalf("it runs as %q", c.User)
	}
	args := append(append([]string{}, c.Entrypoint...), c.Cmd...)
	if len(args) == 0 {
		t.Fatal("nothing is started")
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir, cmd.Env = "/", append(c.Env, "CAUSEWAY_LISTEN=127.0.0.1:0", "CAUSEWAY_TURN_LISTEN=off")
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}, Pdeathsig: syscall.SIGKILL}
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		if err := cmd.Wait(); err != nil {
			t.Errorf("it does not end cleanly: %v\n%s", err, said.String())
		}
	})
	address := regexp.MustCompile(`http://127\.0\.0\.1:\d+`)
	for in := bufio.NewScanner(out); in.Scan(); {
		if base := address.FindString(in.Text()); base != "" {
			return base
		}
	}
	t.Fatal("it says no address")
	return ""
}

// A deploy of the container ends with an image that works, or says that it doesn't.
func TestDeployContainer(t *testing.T) {
	for _, c := range []struct {
		name             string
		newWorks, oldToo bool
		previous         string
		code             int
		put              string
	}{
		{"works", true, true, "example.azurecr.io/causeway@sha256:old", 0, "new"},
		{"rolled back", false, true, "example.azurecr.io/causeway@sha256:old", 1, "new old"},
		{"nothing to roll back to", false, false, "", 1, "new"},
		{"both broken", false, false, "example.azurecr.io/causeway@sha256:old", 3, "new old"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			log := filepath.Join(dir, "log")
			smoke := fmt.Sprintf("#!/usr/bin/env bash\n[ \"$*\" = 'smoke https://app.test --no-relay' ] || exit 9\ncase $(tail -n1 %q) in new) %t ;; old) %t ;; *) exit 9 ;; esac\n", log, c.newWorks, c.oldToo)
			if err := os.WriteFile(filepath.Join(dir, "causeway"), []byte(smoke), 0o755); err != nil {
				t.Fatal(err)
			}
			bin := fakes(t, map[string]string{
				"az": `case "$*" in
  'containerapp show --resource-group group --name app --query properties.template.containers[0].image --output tsv') echo "$PREVIOUS" ;;
  'acr login --name example --expose-token --query accessToken --output tsv') echo token ;;
  'containerapp update --resource-group group --name app --image example.azurecr.io/causeway@sha256:'*' --only-show-errors --output none')
    image=$8; echo "${image##*:}" >>"$LOG" ;;
  *) echo "az: $*" >&2; exit 9 ;;
esac`,
				"buildah": `case $1 in
  build) [ -x "${!#}/system/causeway" ] ;;
  login) [ "$(cat)" = token ] && [ "${!#}" = example.azurecr.io ] ;;
  push) [[ ${!#} = example.azurecr.io/causeway:* ]] && for a; do case $last in --digestfile) echo sha256:new >"$a" ;; esac; last=$a; done ;;
  *) exit 9 ;;
esac`,
			})
			env := []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "LOG=" + log, "PREVIOUS=" + c.previous, "CAUSEWAY_SMOKE_PAUSE=0"}
			out, err := run(t, ".", env, "../pipelines/scripts/deploy-container.sh", "group", "app", "https://app.test", "example.azurecr.io/causeway", dir, "--no-relay")
			if code := exitCode(err); code != c.code {
				t.Errorf("exit code %d, want %d\n%s", code, c.code, out)
			}
			put, err := os.ReadFile(log)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(strings.Fields(string(put)), " "); got != c.put {
				t.Errorf("put %q, want %q\n%s", got, c.put, out)
			}
		})
	}
}
