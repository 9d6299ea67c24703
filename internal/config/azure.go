package config

import (
	"net/url"
	"strings"
	"time"
)

// Azure is what `causeway functions` runs with, beside the settings that it shares with serve.
type Azure struct {
	SignalR          string        `yaml:"signalr" name:"signalr" default:"env:AzureSignalRConnectionString" placeholder:"REF" help:"Secret reference to the connection string of Azure SignalR Service, or of what speaks like it. One with AuthType=azure.msi in the place of an AccessKey uses the managed identity. For causeway functions."`
	IdentityClientID string        `yaml:"identity_client_id" name:"identity-client-id" placeholder:"ID" help:"Client id of the managed identity, if it is a user-assigned one. For causeway functions."`
	UpstreamTenant   string        `yaml:"upstream_tenant" name:"upstream-tenant" placeholder:"ID" help:"Tenant id, if events of the SignalR service come with a token of its managed identity; then each must have one. For causeway functions."`
	UpstreamAudience []string      `yaml:"upstream_audience" name:"upstream-audience" placeholder:"ID" help:"Audiences that such a token may be for: what the upstream's resource is set to, and its form api://ID."`
	UpstreamIdentity []string      `yaml:"upstream_identity" name:"upstream-identity" placeholder:"ID" help:"Object ids of the identities that such a token may be of. By default any in the tenant that gets one for the audience."`
	EntraAuthority   string        `yaml:"entra_authority" name:"entra-authority" default:"https://login.microsoftonline.com" help:"Where the tenant's signing keys are published; another in sovereign clouds."`
	EntraIssuer      string        `yaml:"entra_issuer" name:"entra-issuer" default:"https://sts.windows.net" help:"What tokens of managed identities name as their issuer, without the tenant."`
	SecretRefresh    time.Duration `yaml:"secret_refresh" name:"secret-refresh" default:"10m" help:"How often secrets are read again, in the background, so that they rotate without a restart. For causeway functions."`
	State            string        `yaml:"state" placeholder:"URL" help:"Database, written as for stats, in which instances share who may use relays. By default that of stats, if it is a server's; else each instance knows its own only. For causeway functions."`
	Telemetry        string        `yaml:"telemetry" default:"env:APPLICATIONINSIGHTS_CONNECTION_STRING" placeholder:"REF" help:"Secret reference to the connection string of Application Insights; none is sent where the default's variable is not set. With APPLICATIONINSIGHTS_AUTHENTICATION_STRING=Authorization=AAD the managed identity is shown. For causeway functions."`
	TelemetrySample  float64       `yaml:"telemetry_sampling" name:"telemetry-sampling" default:"20" help:"How much of the traces is sent that nobody before has decided about, in percent. Failures are always sent. For causeway functions."`
	ProxyHops        int           `yaml:"proxy_hops" name:"proxy-hops" default:"1" help:"How many proxies in front add to X-Forwarded-For: 1 for a function app by itself, 2 behind a Static Web App that it is linked to. For causeway functions."`
}

func (a *Azure) validate(bad func(key, format string, args ...any)) {
	if !strings.Contains(a.SignalR, ":") {
		bad("signalr", "is a secret itself; give a reference such as env:NAME or file:/path")
	}
	if a.UpstreamTenant != "" && len(a.UpstreamAudience) == 0 {
		bad("upstream_audience", "is needed where upstream_tenant is set")
	}
	for key, v := range map[string]string{"entra_authority": a.EntraAuthority, "entra_issuer": a.EntraIssuer} {
		if u, err := url.Parse(v); err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
			bad(key, "%q is not a URL", v)
		}
	}
	if strings.ContainsAny(a.UpstreamTenant, "/?#%") {
		bad("upstream_tenant", "%q is not the id of a tenant", a.UpstreamTenant)
	}
	if !strings.Contains(a.Telemetry, ":") {
		bad("telemetry", "is a secret itself; give a reference such as env:NAME or file:/path")
	}
	if !(a.TelemetrySample >= 0 && a.TelemetrySample <= 100) {
		bad("telemetry_sampling", "must be 0 to 100 percent")
	}
	if a.SecretRefresh < time.Second {
		bad("secret_refresh", "must be at least 1s")
	}
	if a.ProxyHops < 0 || a.ProxyHops > 8 {
		bad("proxy_hops", "must be 0 to 8")
	}
}

// vaultPrefix begins a Key Vault reference in an app setting. Where the platform can't resolve it,
// the text itself becomes the value.
const vaultPrefix = "@Microsoft.KeyVault("

// unresolved reports settings whose Key Vault reference was not resolved.
func unresolved(c *Config, bad func(key, format string, args ...any)) {
	for _, f := range fieldsOf(c) {
		texts, _ := f.value.Interface().([]string)
		if s, ok := f.value.Interface().(string); ok {
			texts = append(texts, s)
		}
		for _, t := range texts {
			if strings.HasPrefix(strings.TrimSpace(t), vaultPrefix) {
				bad(f.key, "its Key Vault reference was not resolved; does the app's identity have the role Key Vault Secrets User, and does the vault's firewall let it in?")
			}
		}
	}
}
