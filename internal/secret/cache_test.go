package secret

import (
	"context"
	"errors"
	"strings"
	"testing"
)

// changingVault is a Source whose secrets change, and which can be down.
type changingVault struct {
	secrets map[string]string
	down    bool
	asked   int
}

func (v *changingVault) Secret(_ context.Context, name string) (string, error) {
	v.asked++
	if v.down {
		return "", errors.New("the vault is down")
	}
	return v.secrets[name], nil
}

func TestCache(t *testing.T) {
	v := &changingVault{secrets: map[string]string{"v/a": "one", "v/b": "two"}}
	c := NewCache(Resolver{KeyVault: v})
	ref := func(text string) Ref {
		r, err := ParseRef(text)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	a, b := ref("azurekv:v/a"), ref("azurekv:v/b")
	want := func(r Ref, text string) {
		t.Helper()
		got, err := c.Get(t.Context(), r)
		if err != nil || got.Reveal() != text {
			t.Errorf("%s: %q, %v", r, got.Reveal(), err)
		}
	}
	for range 3 {
		want(a, "one")
		want(b, "two")
	}
	if v.asked != 2 {
		t.Errorf("the vault is on the path: asked %d times", v.asked)
	}
	if changed, err := c.Refresh(t.Context()); changed || err != nil {
		t.Errorf("nothing has changed: %v, %v", changed, err)
	}
	v.secrets["v/a"] = "new"
	if changed, err := c.Refresh(t.Context()); !changed || err != nil {
		t.Errorf("one has changed: %v, %v", changed, err)
	}
	want(a, "new")
	v.down = true
	if changed, err := c.Refresh(t.Context()); changed || err == nil {
		t.Errorf("a vault that is down: %v, %v", changed, err)
	}
	want(a, "new")
	want(b, "two")
	v.down = false
	v.secrets["v/b"] = "" // deleted, or emptied by mistake
	if changed, err := c.Refresh(t.Context()); changed || err == nil {
		t.Errorf("an empty secret: %v, %v", changed, err)
	}
	want(b, "two")
	if _, err := c.Get(t.Context(), ref("azurekv:v/missing")); err == nil {
		t.Error("a missing secret")
	}
	if got, err := c.Get(t.Context(), Ref{}); err != nil || !got.IsZero() {
		t.Errorf("the zero reference: %v", err)
	}
}

// A setting that the platform should have resolved and has not is no secret.
func TestUnresolved(t *testing.T) {
	for _, text := range []string{"@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/n)", " @Microsoft.KeyVault(VaultName=v;SecretName=n)"} {
		t.Setenv("TEST_UNRESOLVED", text)
		ref, err := ParseRef("env:TEST_UNRESOLVED")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Resolve(t.Context(), ref); !errors.Is(err, ErrUnresolved) || strings.Contains(err.Error(), "vault.azure.net") {
			t.Errorf("%v", err)
		}
	}
}
