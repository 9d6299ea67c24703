package armtest_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"causeway/internal/armtest"
)

func who() armtest.Identity {
	return armtest.Identity{Tenant: "t", Client: "c", Object: "o", Assertion: "federated"}
}

// ask sends a request as if to a host, and returns status and answer.
func ask(t *testing.T, s *armtest.Server, method, host, path, token, body string) (int, map[string]any) {
	t.Helper()
	r := httptest.NewRequest(method, "https://"+host+path, strings.NewReader(body))
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	text, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	var answer map[string]any
	if len(text) > 0 {
		if err := json.Unmarshal(text, &answer); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	return w.Code, answer
}

func login(t *testing.T, s *armtest.Server) string {
	t.Helper()
	form := url.Values{"client_id": {"c"}, "client_assertion": {"federated"}}.Encode()
	status, a := ask(t, s, "POST", armtest.LoginHost, "/t/oauth2/v2.0/token", "", form)
	if status != 200 {
		t.Fatal(status, a)
	}
	return a["access_token"].(string)
}

const signalr = "/subscriptions/s/resourceGroups/G/providers/Microsoft.SignalRService/signalR/Name"

func TestKeepsWhatIsPut(t *testing.T) {
	s := armtest.New(who())
	token := login(t, s)
	if status, _ := ask(t, s, "GET", armtest.Host, signalr, token, ""); status != http.StatusNotFound {
		t.Errorf("before: %d", status)
	}
	if got := s.Unknown(); len(got) != 1 || !strings.HasPrefix(got[0], "GET ") {
		t.Errorf("unknown: %v", got)
	}
	body := `{"sku":{"name":"Free_F1"},"properties":{"disableLocalAuth":true}}`
	status, a := ask(t, s, "PUT", armtest.Host, signalr, token, body)
	p, _ := a["properties"].(map[string]any)
	if status != http.StatusOK || a["id"] != signalr || p["hostName"] != "Name.service.signalr.net" || p["provisioningState"] != "Succeeded" || p["disableLocalAuth"] != true {
		t.Errorf("put: %d %v", status, a)
	}
	// Azure's paths don't depend on case.
	if status, _ := ask(t, s, "GET", armtest.Host, strings.ToUpper(signalr), token, ""); status != http.StatusOK {
		t.Errorf("get: %d", status)
	}
	status, a = ask(t, s, "PATCH", armtest.Host, signalr, token, `{"properties":{"disableLocalAuth":false}}`)
	p, _ = a["properties"].(map[string]any)
	if status != http.StatusOK || p["disableLocalAuth"] != false || p["hostName"] != "Name.service.signalr.net" {
		t.Errorf("patch: %d %v", status, a)
	}
	_, list := ask(t, s, "GET", armtest.Host, "/subscriptions/s/resourceGroups/G/providers/Microsoft.SignalRService/signalR", token, "")
	if v, _ := list["value"].([]any); len(v) != 1 {
		t.Errorf("list: %v", list)
	}
	if got := s.Resources(); !slices.Equal(got, []string{signalr}) {
		t.Errorf("resources: %v", got)
	}
	if changes := s.Changes(); len(changes) != 2 || string(changes[0].Body) != body {
		t.Errorf("changes: %v", changes)
	}
	if status, _ := ask(t, s, "DELETE", armtest.Host, "/subscriptions/s/resourceGroups/G", token, ""); status != http.StatusOK || len(s.Resources()) != 0 {
		t.Errorf("delete: %d, left: %v", status, s.Resources())
	}
	s.Forget()
	if len(s.Changes())+len(s.Unknown()) != 0 {
		t.Error("not forgotten")
	}
}

func TestOnlyTheIdentityComesIn(t *testing.T) {
	s := armtest.New(who())
	for name, form := range map[string]url.Values{
		"a secret":        {"client_id": {"c"}, "client_secret": {"federated"}},
		"another token":   {"client_id": {"c"}, "client_assertion": {"x"}},
		"another client":  {"client_id": {"x"}, "client_assertion": {"federated"}},
		"nothing at all":  {},
		"an empty string": {"client_id": {"c"}, "client_assertion": {""}},
	} {
		if status, a := ask(t, s, "POST", armtest.LoginHost, "/t/oauth2/v2.0/token", "", form.Encode()); status != http.StatusUnauthorized || a["error"] != "invalid_client" {
			t.Errorf("%s: %d %v", name, status, a)
		}
	}
	for _, host := range []string{armtest.Host, "kv" + armtest.VaultSuffix} {
		if status, _ := ask(t, s, "GET", host, signalr, "made-up", ""); status != http.StatusUnauthorized {
			t.Errorf("%s: %d", host, status)
		}
	}
	if status, _ := ask(t, s, "GET", armtest.Host, "/metadata/endpoints", "", ""); status != http.StatusOK {
		t.Errorf("metadata: %d", status)
	}
}

func TestVault(t *testing.T) {
	s := armtest.New(who())
	token := login(t, s)
	host := "kv" + armtest.VaultSuffix
	if status, _ := ask(t, s, "GET", host, "/secrets/a", token, ""); status != http.StatusNotFound {
		t.Errorf("before: %d", status)
	}
	if status, _ := ask(t, s, "PUT", host, "/secrets/a", token, `{"value":""}`); status != http.StatusBadRequest {
		t.Errorf("no value: %d", status)
	}
	for range 2 {
		if status, a := ask(t, s, "PUT", host, "/secrets/a", token, `{"value":"v","tags":{"x":"y"}}`); status != http.StatusOK || a["value"] != "v" {
			t.Errorf("put: %d %v", status, a)
		}
	}
	if v, n := s.Secret("kv", "a"); v != "v" || n != 2 {
		t.Errorf("%q, written %d times", v, n)
	}
	for _, c := range s.Changes() {
		if len(c.Body) != 0 {
			t.Errorf("a secret's value was recorded: %s", c.Body)
		}
	}
	if status, _ := ask(t, s, "DELETE", host, "/secrets/a", token, ""); status != http.StatusOK {
		t.Errorf("delete: %d", status)
	}
	if status, _ := ask(t, s, "GET", host, "/secrets/a", token, ""); status != http.StatusNotFound {
		t.Errorf("after: %d", status)
	}
}

func TestRoles(t *testing.T) {
	s := armtest.New(who())
	token := login(t, s)
	for name, want := range map[string]int{"Key Vault Secrets User": 1, "Key Vault Secret User": 0} {
		q := url.Values{"$filter": {"roleName eq '" + name + "'"}}.Encode()
		_, a := ask(t, s, "GET", armtest.Host, "/subscriptions/s/providers/Microsoft.Authorization/roleDefinitions?"+q, token, "")
		if v, _ := a["value"].([]any); len(v) != want {
			t.Errorf("%s: %v", name, a)
		}
	}
}
