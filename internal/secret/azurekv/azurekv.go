// Package azurekv reads secrets from Azure Key Vaults, as the identity that the process has on
// Azure. It is a package of its own so that nothing but the programs that need it link Azure's SDK.
//
// The same credential gives tokens for other services (Token), which callers cache: an issuer that
// is down for an hour, as Azure's was in several regions at once, is then nobody's outage.
package azurekv

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"
)

// Config configures a Source. All fields may be empty.
type Config struct {
	// ClientID of a user-assigned identity; empty: the system-assigned one.
	ClientID string
	// Suffix of vaults' host names; ".vault.azure.net" by default.
	Suffix string
	// Credential in the place of the managed identity, for tests.
	Credential azcore.TokenCredential
	// Transport in the place of the SDK's own, for tests.
	Transport policy.Transporter
}

// Source is a secret.Source. It is safe for concurrent use.
type Source struct {
	cfg     Config
	options policy.ClientOptions

	mu     sync.Mutex
	vaults map[string]*azsecrets.Client
}

// patience bounds one question, retries included.
const patience = 20 * time.Second

// New makes a Source; it asks nobody anything yet.
func New(cfg Config) (*Source, error) {
	s := &Source{cfg: cfg, vaults: map[string]*azsecrets.Client{}}
	s.options.Retry = policy.RetryOptions{MaxRetries: 2, RetryDelay: 200 * time.Millisecond, MaxRetryDelay: 2 * time.Second}
	s.options.Telemetry.Disabled = true
	s.options.Transport = cfg.Transport
	if s.cfg.Suffix == "" {
		s.cfg.Suffix = ".vault.azure.net"
	}
	if cfg.Credential != nil {
		return s, nil
	}
	o := &azidentity.ManagedIdentityCredentialOptions{ClientOptions: s.options}
	if cfg.ClientID != "" {
		o.ID = azidentity.ClientID(cfg.ClientID)
	}
	credential, err := azidentity.NewManagedIdentityCredential(o)
	if err != nil {
		return nil, fmt.Errorf("managed identity: %w", err)
	}
	s.cfg.Credential = credential
	return s, nil
}

// Secret implements secret.Source for vault/name[/version].
func (s *Source) Secret(ctx context.Context, name string) (string, error) {
	vault, rest, _ := strings.Cut(name, "/")
	secret, version, _ := strings.Cut(rest, "/")
	client, err := s.client(vault)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	answer, err := client.GetSecret(ctx, secret, version, nil)
	if err != nil {
		return "", fmt.Errorf("key vault: %w", short(err))
	}
	if answer.Value == nil {
		return "", errors.New("key vault: the secret has no value")
	}
	return *answer.Value, nil
}

func (s *Source) client(vault string) (*azsecrets.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.vaults[vault]; c != nil {
		return c, nil
	}
	c, err := azsecrets.NewClient("https://"+vault+s.cfg.Suffix, s.cfg.Credential, &azsecrets.ClientOptions{ClientOptions: s.options})
	if err != nil {
		return nil, fmt.Errorf("key vault: %w", err)
	}
	s.vaults[vault] = c
	return c, nil
}

// Token gets a token for a scope, such as https://signalr.azure.com/.default. It asks the
// issuer, unless the SDK has one that is good for a while.
func (s *Source) Token(ctx context.Context, scope string) (token string, expires time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	t, err := s.cfg.Credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{scope}})
	if err != nil {
		return "", time.Time{}, fmt.Errorf("managed identity: %w", short(err))
	}
	return t.Token, t.ExpiresOn, nil
}

// short is err in a line: the SDK's texts hold whole requests.
func short(err error) error {
	var answer *azcore.ResponseError
	if !errors.As(err, &answer) {
		return err
	}
	hint := ""
	switch answer.StatusCode {
	case http.StatusForbidden:
		hint = ": does the identity have the role Key Vault Secrets User, and does the vault's firewall let it in?"
	case http.StatusNotFound:
		hint = ": there is no such secret, or it is disabled"
	}
	return fmt.Errorf("status %d %s%s", answer.StatusCode, answer.ErrorCode, hint)
}
