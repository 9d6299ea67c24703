package terraform

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"causeway/internal/httpx"
)

type siteRules struct {
	Routes []struct {
		Route      string            `json:"route"`
		StatusCode int               `json:"statusCode"`
		Headers    map[string]string `json:"headers"`
	} `json:"routes"`
	GlobalHeaders map[string]string `json:"globalHeaders"`
}

func readRules(t *testing.T, file string) siteRules {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var r siteRules
	if err := json.Unmarshal(data, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// The static site sends what our own server sends, over TLS.
func TestSiteHeadersAreOurs(t *testing.T) {
	got := readRules(t, "../site/staticwebapp.config.json").GlobalHeaders
	w := httptest.NewRecorder()
	httpx.SecurityHeaders(httpx.Proxies{}, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).
		ServeHTTP(w, httptest.NewRequest("GET", "https://site.test/", nil))
	want := w.Header()
	if len(want) < 6 {
		t.Fatalf("our server sends only %v", want)
	}
	for name := range want {
		if got[name] != want.Get(name) {
			t.Errorf("%s is\n%q, ours is\n%q", name, got[name], want.Get(name))
		}
	}
	if len(got) != len(want) {
		t.Errorf("the site sends %d headers, our server %d", len(got), len(want))
	}
}

// renderSite puts pages together like a deploy does.
func renderSite(t *testing.T, regions string) (string, string, error) {
	t.Helper()
	dir := t.TempDir()
	dist, out := filepath.Join(dir, "dist"), filepath.Join(dir, "out")
	for name, text := range map[string]string{
		"index.html": "<!doctype html><title>Causeway</title>", "assets/main-0a1b.js": "export {}", "manifest.webmanifest": "{}",
		"icon.svg": "<svg/>", ".gitignore": "*", ".vite/manifest.json": "{}",
	} {
		file := filepath.Join(dist, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"../site/render.mjs", out, "--dist", dist}
	if regions != "" {
		file := filepath.Join(dir, "regions.json")
		if err := os.WriteFile(file, []byte(regions), 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, file)
	}
	said, err := run(t, ".", nil, "node", args...)
	return out, said, err
}

const twoRegions = `[
 {"name": "eu", "api": "https://func-causewaytsteu.azurewebsites.net", "signalr": "https://sigr-causewaytsteu.service.signalr.net"},
 {"name": "us", "api": "https://func-causewaytstus.azurewebsites.net", "signalr": "https://sigr-causewaytstus.service.signalr.net"}]`

// The regions' hosts are what the pages may connect to beside their own, and nothing else changes.
func TestSiteWithRegions(t *testing.T) {
	out, said, err := renderSite(t, twoRegions)
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	before := readRules(t, "../site/staticwebapp.config.json").GlobalHeaders
	after := readRules(t, filepath.Join(out, "staticwebapp.config.json")).GlobalHeaders
	const policy = "Content-Security-Policy"
	want := strings.Replace(before[policy], "connect-src 'self'", "connect-src 'self' "+
		"https://func-causewaytsteu.azurewebsites.net https://sigr-causewaytsteu.service.signalr.net wss://sigr-causewaytsteu.service.signalr.net "+
		"https://func-causewaytstus.azurewebsites.net https://sigr-causewaytstus.service.signalr.net wss://sigr-causewaytstus.service.signalr.net", 1)
	if after[policy] != want {
		t.Errorf("got %q", after[policy])
	}
	for name, v := range before {
		if name != policy && after[name] != v {
			t.Errorf("%s is %q", name, after[name])
		}
	}
	data, err := os.ReadFile(filepath.Join(out, "regions.json"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Regions []map[string]string }
	if err := json.Unmarshal(data, &file); err != nil || len(file.Regions) != 2 || file.Regions[0]["url"] != "https://func-causewaytsteu.azurewebsites.net" || file.Regions[1]["name"] != "us" {
		t.Errorf("regions.json: %v %s", err, data)
	}
	for _, gone := range []string{".gitignore", ".vite"} {
		if _, err := os.Stat(filepath.Join(out, gone)); err == nil {
			t.Errorf("%s is deployed", gone)
		}
	}
}

func TestSiteRefusals(t *testing.T) {
	for name, regions := range map[string]string{
		"none":        `[]`,
		"no list":     `{}`,
		"a directive": `[{"name":"eu","api":"https://x.test; script-src *","signalr":"https://y.test"}]`,
		"a wildcard":  `[{"name":"eu","api":"https://*.test","signalr":"https://y.test"}]`,
		"plain HTTP":  `[{"name":"eu","api":"http://x.test","signalr":"https://y.test"}]`,
		"twice":       `[{"name":"eu","api":"https://x.test","signalr":"https://y.test"},{"name":"eu","api":"https://x.test","signalr":"https://y.test"}]`,
	} {
		if _, said, err := renderSite(t, regions); err == nil || !strings.Contains(said, "render: regions:") {
			t.Errorf("%s: %v %s", name, err, said)
		}
	}
}

// TestStaticWebAppsCLI serves the pages by Microsoft's own program, and looks at what comes.
func TestStaticWebAppsCLI(t *testing.T) {
	needInfra(t)
	t.Parallel()
	out, said, err := renderSite(t, twoRegions)
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	base := startSWA(t, out)
	rules := readRules(t, filepath.Join(out, "staticwebapp.config.json"))
	client := &http.Client{Timeout: 30 * time.Second}
	get := func(path string) (*http.Response, string) {
		t.Helper()
		res, err := client.Get(base + path)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res, string(body)
	}
	for path, want := range map[string]struct {
		status int
		cache  string
		body   string
	}{
		"/":                     {200, "no-cache", "<title>Causeway"},
		"/index.html":           {200, "no-cache", "<title>Causeway"},
		"/assets/main-0a1b.js":  {200, "public, max-age=31536000, immutable", "export"},
		"/regions.json":         {200, "no-cache", "azurewebsites"},
		"/manifest.webmanifest": {200, "no-cache", "{}"},
		"/nothing":              {404, "", ""},
		"/.auth/login/github":   {404, "", ""},
		"/.auth/me":             {404, "", ""},
	} {
		res, body := get(path)
		if res.StatusCode != want.status || want.status == 200 && (res.Header.Get("Cache-Control") != want.cache || !strings.Contains(body, want.body)) {
			t.Errorf("%s: %d, %q, %.80q", path, res.StatusCode, res.Header.Get("Cache-Control"), body)
		}
		if want.status == 200 {
			for name, value := range rules.GlobalHeaders {
				if got := res.Header.Get(name); got != value {
					t.Errorf("%s: %s is %q", path, name, got)
				}
			}
		}
	}
	if res, _ := get("/manifest.webmanifest"); !strings.HasPrefix(res.Header.Get("Content-Type"), "application/manifest+json") {
		t.Errorf("the manifest is %s", res.Header.Get("Content-Type"))
	}
}

// startSWA starts the CLI on a port that is free.
func startSWA(t *testing.T, dir string) string {
	t.Helper()
	swa, err := filepath.Abs("../site/node_modules/.bin/swa")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(address)
	cmd := exec.CommandContext(t.Context(), swa, "start", dir, "--swa-config-location", dir, "--host", "127.0.0.1", "--port", port)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "NO_UPDATE_NOTIFIER=1", "SWA_CLI_INTERNAL_DEBUG=", "HOME="+cmd.Dir)
	log := &announced{text: "emulator started at", seen: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended // killed
		if t.Failed() {
			t.Logf("swa: %s", log.said.Bytes())
		}
	})
	select {
	case <-log.seen:
	case err := <-ended:
		ended <- err
		t.Fatalf("the CLI ended: %v", err)
	case <-time.After(2 * time.Minute):
		t.Fatal("the CLI does not come up")
	}
	return "http://" + address
}

// announced keeps what a program says, and closes seen when text is in it. The program's end orders reading after writing.
type announced struct {
	said bytes.Buffer
	text string
	seen chan struct{}
	once sync.Once
}

func (a *announced) Write(p []byte) (int, error) {
	n, err := a.said.Write(p)
	if bytes.Contains(a.said.Bytes(), []byte(a.text)) {
		a.once.Do(func() { close(a.seen) })
	}
	return n, err
}
