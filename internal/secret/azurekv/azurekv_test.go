package azurekv

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	azfake "github.com/Azure/azure-sdk-for-go/sdk/azcore/fake"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets/fake"

	"causeway/internal/secret"
)

var _ secret.Source = (*Source)(nil)

// newSource is a Source before the SDK's own double of a vault.
func newSource(t *testing.T, asked *[]string) *Source {
	t.Helper()
	vault := fake.Server{
		GetSecret: func(_ context.Context, name, version string, _ *azsecrets.GetSecretOptions) (resp azfake.Responder[azsecrets.GetSecretResponse], e azfake.ErrorResponder) {
			*asked = append(*asked, name+"/"+version)
			switch name {
			case "missing":
				e.SetResponseError(http.StatusNotFound, "SecretNotFound")
			case "forbidden":
				e.SetResponseError(http.StatusForbidden, "Forbidden")
			case "none":
				resp.SetResponse(http.StatusOK, azsecrets.GetSecretResponse{}, nil)
			default:
				resp.SetResponse(http.StatusOK, azsecrets.GetSecretResponse{Secret: azsecrets.Secret{Value: to.Ptr("value of " + name + version)}}, nil)
			}
			return resp, e
		},
	}
	s, err := New(Config{Credential: &azfake.TokenCredential{}, Transport: fake.NewServerTransport(&vault)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSecret(t *testing.T) {
	var asked []string
	r := secret.Resolver{KeyVault: newSource(t, &asked)}
	for text, want := range map[string]string{"azurekv:my-vault/one": "value of one", "azurekv:my-vault/two/0123": "value of two0123"} {
		ref, err := secret.ParseRef(text)
		if err != nil {
			t.Fatal(err)
		}
		if v, err := r.Resolve(t.Context(), ref); err != nil || v.Reveal() != want {
			t.Errorf("%s: %q, %v", text, v.Reveal(), err)
		}
	}
	// Azure's own way to write it, in an upstream's URL.
	v, err := r.Expand(t.Context(), "https://x/?code={@Microsoft.KeyVault(SecretUri=https://my-vault.vault.azure.net/secrets/code)}")
	if err != nil || v.Reveal() != "https://x/?code=value of code" {
		t.Errorf("%v", err)
	}
	for name, want := range map[string]string{"missing": "there is no such secret", "forbidden": "Key Vault Secrets User", "none": "no value"} {
		ref, err := secret.ParseRef("azurekv:my-vault/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Resolve(t.Context(), ref); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "https://") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(asked) != 6 {
		t.Errorf("asked for %v", asked)
	}
}

func TestToken(t *testing.T) {
	credential := &azfake.TokenCredential{}
	s, err := New(Config{Credential: credential})
	if err != nil {
		t.Fatal(err)
	}
	token, expires, err := s.Token(t.Context(), "https://signalr.azure.com/.default")
	if err != nil || token == "" || !expires.After(time.Now()) {
		t.Errorf("%v, %v", expires, err)
	}
	credential.SetError(errors.New("no identity"))
	if _, _, err := s.Token(t.Context(), "https://signalr.azure.com/.default"); err == nil {
		t.Error("a token without an identity")
	}
}

// The managed identity of a function app is asked at IDENTITY_ENDPOINT, with its header.
func TestManagedIdentity(t *testing.T) {
	t.Setenv("IDENTITY_ENDPOINT", "http://127.0.0.1:1/msi/token")
	t.Setenv("IDENTITY_HEADER", "the header")
	var asked *http.Request
	s, err := New(Config{ClientID: "client", Transport: transport(func(r *http.Request) (*http.Response, error) {
		asked = r
		body := `{"access_token":"t","expires_on":"` + "4102444800" + `","resource":"https://signalr.azure.com","token_type":"Bearer","client_id":"client"}`
		return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: readCloser{strings.NewReader(body)}, Request: r}, nil
	})})
	if err != nil {
		t.Fatal(err)
	}
	token, _, err := s.Token(t.Context(), "https://signalr.azure.com/.default")
	if err != nil || token != "t" {
		t.Fatalf("%q, %v", token, err)
	}
	q := asked.URL.Query()
	if asked.Header.Get("X-Identity-Header") != "the header" || q.Get("resource") != "https://signalr.azure.com" || q.Get("client_id") != "client" {
		t.Errorf("%s %v", asked.URL, asked.Header)
	}
}

type transport func(*http.Request) (*http.Response, error)

func (f transport) Do(r *http.Request) (*http.Response, error) { return f(r) }

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }
