package main

import (
	"go/ast"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A provider as azurerm is laid out, with three services: vault is used, network by vault's code only, oven by nobody.
var small = map[string]string{
	"go.mod": "module github.com/hashicorp/terraform-provider-azurerm\n",
	"internal/provider/framework/framework.go": `package framework

import "github.com/hashicorp/terraform-provider-azurerm/internal/provider"

var Services = provider.Services
`,
	"internal/provider/services.go": `package provider

import (
	"github.com/hashicorp/terraform-provider-azurerm/internal/services/oven"
	"github.com/hashicorp/terraform-provider-azurerm/internal/services/vault"
)

func Services() []any { return []any{oven.Registration{}, vault.Registration{}} }
`,
	"internal/clients/client.go": `package clients

import (
	"fmt"

	network "github.com/hashicorp/terraform-provider-azurerm/internal/services/network/client"
	oven "github.com/hashicorp/terraform-provider-azurerm/internal/services/oven/client"
	oven_v1 "github.com/hashicorp/go-azure-sdk/resource-manager/oven/v1"
)

type Client struct {
	Account string
	Network *network.Client
	Oven    *oven_v1.Client
}

func (client *Client) Build() (err error) {
	if client.Network, err = network.NewClient(); err != nil {
		return fmt.Errorf("network: %w", err)
	}
	if client.Oven, err = oven.NewClient(); err != nil {
		return fmt.Errorf("oven: %w", err)
	}
	return nil
}
`,
	"internal/services/vault/vault.go": `package vault

type Registration struct{}

func Types() []string { return []string{"azurerm_key_vault"} }

func Read(meta any) { meta.(*clients.Client).Network.Get() }
`,
	"internal/services/vault/vault_test.go": `package vault`,
	"internal/services/oven/oven.go": `package oven

type Registration struct{}

func Types() []string { return []string{"azurerm_key_vault_oven"} }

func Read(meta any) { meta.(*clients.Client).Oven.Get() }
`,
	"website/docs/vault.go": `package docs`,
}

func write(t *testing.T, files map[string]string) string {
	t.Helper()
	folder := t.TempDir()
	for name, text := range files {
		name = filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

func TestThin(t *testing.T) {
	out := t.TempDir()
	infrastructure := write(t, map[string]string{
		"main.tf":       "resource \"azurerm_key_vault\" \"this\" {}\n# azurerm_key_vault_oven\n",
		"m/examples.md": "resource \"azurerm_key_vault_oven\" \"this\" {}\n",
	})
	if err := thin(write(t, small), infrastructure, out); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]struct{ has, lacks []string }{
		"internal/provider/services.go": {[]string{"vault.Registration{}", "services/vault"}, []string{"oven"}},
		"internal/clients/client.go":    {[]string{"Account string", "Network *network.Client", "network.NewClient()", `"fmt"`}, []string{"ven"}},
	} {
		code, err := os.ReadFile(filepath.Join(out, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range want.has {
			if !strings.Contains(string(code), part) {
				t.Errorf("%s lost %s:\n%s", name, part, code)
			}
		}
		for _, part := range want.lacks {
			if strings.Contains(string(code), part) {
				t.Errorf("%s still has %s:\n%s", name, part, code)
			}
		}
	}
	for _, name := range []string{"website", "internal/services/vault/vault_test.go"} {
		if _, err := os.Stat(filepath.Join(out, name)); err == nil {
			t.Errorf("%s was copied", name)
		}
	}
}

// A provider that is laid out in another way must not become one without services, or with all of them, in silence.
func TestThinOfSomethingElse(t *testing.T) {
	err := thin(write(t, map[string]string{"go.mod": "module other\n"}), write(t, map[string]string{"main.tf": `resource "azurerm_key_vault" "v" {}`}), t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "no service") {
		t.Errorf("got %v, want a complaint that there is no service", err)
	}
}

func TestRewriteComplainsOfBrokenSource(t *testing.T) {
	folder := write(t, map[string]string{"p/a.go": "package"})
	if err := rewrite(folder, "p", func(*ast.File) {}); err == nil {
		t.Error("broken source was accepted")
	}
}
