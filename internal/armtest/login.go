package armtest

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
)

// login gives a token for a federated one, as Entra does in workload identity federation. It knows
// no secrets: what comes with one is refused.
func (s *Server) login(w http.ResponseWriter, r *http.Request, body []byte) {
	form, err := url.ParseQuery(string(body))
	tenant, action, _ := strings.Cut(strings.Trim(r.URL.Path, "/"), "/")
	if err != nil || r.Method != http.MethodPost || action != "oauth2/v2.0/token" {
		s.notFound(w, r, r.URL.Path)
		return
	}
	for _, i := range s.who {
		if i.Tenant == tenant && i.Client == form.Get("client_id") && i.Assertion != "" && i.Assertion == form.Get("client_assertion") {
			answer(w, http.StatusOK, object{"token_type": "Bearer", "expires_in": 3600, "access_token": i.token()})
			return
		}
	}
	answer(w, http.StatusUnauthorized, object{"error": "invalid_client", "error_description": "no such identity, or not by this token"})
}

// token is one that the provider can read; it is not signed.
func (i Identity) token() string {
	claims, err := json.Marshal(object{"appid": i.Client, "oid": i.Object, "tid": i.Tenant, "idtyp": "app"})
	if err != nil {
		return ""
	}
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + encode(claims) + ".none"
}

func (s *Server) authorized(r *http.Request) bool {
	got, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return false
	}
	for _, i := range s.who {
		if got == i.token() {
			return true
		}
	}
	return false
}

// challenge says where to get a token, as vaults do.
func challenge(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", `Bearer authorization="https://`+LoginHost+`/common", resource="https://vault.azure.net"`)
	fail(w, http.StatusUnauthorized, "Unauthorized", "a token is wanted")
}

// metadata is what a cloud says of itself.
func metadata() object {
	return object{
		"name":   "AzureCloud",
		"portal": "https://portal.azure.test",
		"authentication": object{
			"loginEndpoint":    "https://" + LoginHost + "/",
			"audiences":        []string{"https://" + Host},
			"tenant":           "common",
			"identityProvider": "AAD",
		},
		"graph":                      "https://graph.azure.test/",
		"graphAudience":              "https://graph.azure.test/",
		"microsoftGraphResourceId":   "https://graph.azure.test/",
		"resourceManager":            "https://" + Host + "/",
		"sqlManagement":              "https://sql.azure.test/",
		"batch":                      "https://batch.azure.test/",
		"media":                      "https://media.azure.test/",
		"ossrDbmsResourceId":         "https://ossrdbms.azure.test/",
		"attestationResourceId":      "https://attest.azure.test/",
		"synapseAnalyticsResourceId": "https://synapse.azure.test/",
		"logAnalyticsResourceId":     "https://logs.azure.test/",
		"activeDirectoryDataLake":    "https://datalake.azure.test/",
		"suffixes": object{
			"keyVaultDns":                  strings.TrimPrefix(VaultSuffix, "."),
			"mhsmDns":                      "managedhsm.azure.net",
			"storage":                      "core.windows.net",
			"sqlServerHostname":            "database.windows.net",
			"acrLoginServer":               "azurecr.io",
			"azureFrontDoorEndpointSuffix": "azurefd.net",
			"storageSyncEndpointSuffix":    "afs.azure.net",
			"mysqlServerEndpoint":          "mysql.database.azure.com",
			"postgresqlServerEndpoint":     "postgres.database.azure.com",
			"mariadbServerEndpoint":        "mariadb.database.azure.com",
			"synapseAnalytics":             "dev.azuresynapse.net",
			"attestationEndpoint":          "attest.azure.net",
			"azureDataLakeStoreFileSystem": "azuredatalakestore.net",
		},
	}
}
