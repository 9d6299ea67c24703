package terraform

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"causeway/internal/armtest"
)

// checkPages puts the pages together as a deploy does, by what an applied example says of its regions, and
// compares them with what Azure was told: pages and function apps have the same regions in the same order, and
// pages may go where they are sent, and nobody else's may.
func checkPages(t *testing.T, a *azure, e example, root string) {
	t.Helper()
	site := strings.TrimSpace(must(t, root, a.env(), "tofu", "output", "-raw", "static_site_url"))
	out, said, err := renderSite(t, must(t, root, a.env(), "tofu", "output", "-json", "regions"))
	if err != nil {
		t.Fatalf("render: %v\n%s", err, said)
	}
	data, err := os.ReadFile(filepath.Join(out, "regions.json"))
	if err != nil {
		t.Fatal(err)
	}
	var pages struct{ Regions []struct{ Name, URL string } }
	if err := json.Unmarshal(data, &pages); err != nil {
		t.Fatal(err)
	}
	connect := connectSources(t, filepath.Join(out, "staticwebapp.config.json"))
	var list []string
	for _, r := range pages.Regions {
		list = append(list, r.Name+"="+r.URL)
	}
	told := a.told(t, e)
	if len(told.apps) != len(list) || len(told.services) != len(list) {
		t.Fatalf("%d regions, %d function apps, %d SignalR services", len(list), len(told.apps), len(told.services))
	}
	for _, r := range pages.Regions {
		settings := told.apps[r.URL]
		if settings == nil {
			t.Fatalf("the pages ask %s, where there is no function app", r.URL)
		}
		name, all := r.Name, strings.Join(list, ",")
		if len(list) == 1 {
			name, all = "", ""
		}
		for key, want := range map[string]string{"CAUSEWAY_REGION": name, "CAUSEWAY_REGIONS": all, "CAUSEWAY_PUBLIC_URL": site, "CAUSEWAY_API_ORIGIN": site} {
			if settings[key] != want {
				t.Errorf("%s: %s is %q, want %q", r.Name, key, settings[key], want)
			}
		}
		signalr, _, _ := strings.Cut(strings.TrimPrefix(settings["AzureSignalRConnectionString"], "Endpoint="), ";")
		for _, want := range []string{r.URL, signalr, strings.Replace(signalr, "https:", "wss:", 1)} {
			if !slices.Contains(connect, want) {
				t.Errorf("pages may not connect to %s: %v", want, connect)
			}
		}
		if origins := told.services[signalr]; !slices.Equal(origins, []string{site}) {
			t.Errorf("%s: pages of %v may connect, want %s", signalr, origins, site)
		}
	}
	if len(connect) != 1+3*len(list) {
		t.Errorf("pages may connect to more than that: %v", connect)
	}
}

// connectSources are those of a site's content security policy.
func connectSources(t *testing.T, file string) []string {
	t.Helper()
	for directive := range strings.SplitSeq(readRules(t, file).GlobalHeaders["Content-Security-Policy"], ";") {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(directive), "connect-src "); ok {
			return strings.Fields(rest)
		}
	}
	t.Fatalf("%s has no connect-src", file)
	return nil
}

// told is what Azure was told of an example's function apps and SignalR services, by their origins: the former's
// settings, and the origins whose pages may use the latter.
type told struct {
	apps     map[string]map[string]string
	services map[string][]string
}

func (a *azure) told(t *testing.T, e example) told {
	t.Helper()
	all := told{map[string]map[string]string{}, map[string][]string{}}
	for _, c := range a.changesOf(e) {
		parent, name := filepath.Split(c.Path)
		switch {
		case c.Method != "PUT":
		case strings.HasSuffix(parent, "/Microsoft.Web/sites/"):
			all.apps["https://"+name+".azurewebsites.net"] = appSettings(t, c)
		case strings.HasSuffix(parent, "/Microsoft.SignalRService/signalR/"):
			var body struct {
				Properties struct {
					CORS struct{ AllowedOrigins []string }
				}
			}
			if err := json.Unmarshal(c.Body, &body); err != nil {
				t.Fatal(err)
			}
			all.services["https://"+name+".service.signalr.net"] = body.Properties.CORS.AllowedOrigins
		}
	}
	return all
}

func appSettings(t *testing.T, c armtest.Change) map[string]string {
	t.Helper()
	var body struct {
		Properties struct {
			SiteConfig struct {
				AppSettings []struct{ Name, Value string }
			}
		}
	}
	if err := json.Unmarshal(c.Body, &body); err != nil {
		t.Fatal(err)
	}
	settings := map[string]string{}
	for _, s := range body.Properties.SiteConfig.AppSettings {
		settings[s.Name] = s.Value
	}
	return settings
}
