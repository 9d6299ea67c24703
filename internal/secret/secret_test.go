package secret

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const hush = "s3cr3t-P4ssw0rd"

func TestValueNeverPrints(t *testing.T) {
	v := New(hush)
	type holder struct {
		Public  Value
		private Value
		m       map[string]Value
		p       *Value
	}
	h := holder{Public: v, private: v, m: map[string]Value{"k": v}, p: &v}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%p"} {
		fmt.Fprintf(&out, verb+"\n", v)
		fmt.Fprintf(&out, verb+"\n", &v)
		fmt.Fprintf(&out, verb+"\n", h)
		fmt.Fprintf(&out, verb+"\n", &h)
		fmt.Fprintf(&out, verb+"\n", []any{v, h})
	}
	for _, x := range []any{v, &v, h, map[string]any{"a": v}} {
		b, err := json.Marshal(x)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(b)
	}
	var logged bytes.Buffer
	for _, log := range []*slog.Logger{slog.New(slog.NewTextHandler(&logged, nil)), slog.New(slog.NewJSONHandler(&logged, nil))} {
		log.Info("x", "v", v, "h", h, "p", &v)
	}
	out.Write(logged.Bytes())
	text, _ := v.MarshalText()
	yaml, _ := v.MarshalYAML()
	fmt.Fprint(&out, errors.New(v.String()), string(text), yaml)
	all := out.String()
	for _, form := range []string{hush, fmt.Sprintf("%x", hush), fmt.Sprintf("%X", hush), fmt.Sprint([]byte(hush))} {
		if strings.Contains(all, form) {
			t.Errorf("the secret was printed as %q", form)
		}
	}
	if !strings.Contains(all, Redacted) {
		t.Error("nothing says that something was redacted")
	}
	if v.Reveal() != hush || !New("").IsZero() || v.IsZero() || !v.Equal(New(hush)) || v.Equal(New("x")) || v.Equal(Value{}) {
		t.Error("Reveal, IsZero or Equal")
	}
}

func TestParseRef(t *testing.T) {
	for _, c := range []struct {
		text string
		want error
		kind Kind
	}{
		{"env:NAME", nil, KindEnv}, {"env:_a9", nil, KindEnv},
		{"file:/run/secrets/x", nil, KindFile}, {"file:relative", nil, KindFile},
		{"azurekv:vault/name", nil, KindKeyVault}, {"azurekv:vault/name/0123abc", nil, KindKeyVault},
		{"", ErrLiteral, 0}, {hush, ErrLiteral, 0}, {"other:" + hush, ErrLiteral, 0}, {"https://u:" + hush + "@h", ErrLiteral, 0},
		{"env:", ErrReference, 0}, {"env:9" + hush, ErrReference, 0}, {"env:A B", ErrReference, 0},
		{"file:", ErrReference, 0}, {"file:a\nb", ErrReference, 0},
		{"azurekv:v", ErrReference, 0}, {"azurekv:v/" + "ü", ErrReference, 0}, {"azurekv:a/b/c/d", ErrReference, 0}, {"azurekv:/n", ErrReference, 0},
	} {
		ref, err := ParseRef(c.text)
		if !errors.Is(err, c.want) || ref.Kind() != c.kind {
			t.Errorf("ParseRef(%q) = %v, %v", c.text, ref, err)
		}
		if err != nil && strings.Contains(err.Error(), hush) {
			t.Errorf("the error for %q repeats the secret", c.text)
		}
		if err == nil && ref.String() != c.text {
			t.Errorf("ParseRef(%q).String() = %q", c.text, ref)
		}
	}
	var cfg struct{ Key Ref }
	if err := json.Unmarshal([]byte(`{"Key":"`+hush+`"}`), &cfg); err == nil || strings.Contains(err.Error(), hush) {
		t.Errorf("a literal in JSON: %v", err)
	}
	if err := json.Unmarshal([]byte(`{"Key":"env:X"}`), &cfg); err != nil || cfg.Key.String() != "env:X" {
		t.Errorf("a reference in JSON: %v %v", cfg, err)
	}
	if b, _ := json.Marshal(cfg); string(b) != `{"Key":"env:X"}` {
		t.Errorf("marshalled %s", b)
	}
}

type vault map[string]string

func (v vault) Secret(_ context.Context, name string) (string, error) {
	if s, ok := v[name]; ok {
		return s, nil
	}
	return "", errors.New("no such secret")
}

func mustRef(t *testing.T, text string) Ref {
	t.Helper()
	ref, err := ParseRef(text)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func TestResolve(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return "file:" + path
	}
	t.Setenv("CAUSEWAY_TEST_SECRET", hush)
	t.Setenv("CAUSEWAY_TEST_EMPTY", "")
	withVault := Resolver{KeyVault: vault{"v/n": hush}}
	for _, c := range []struct {
		name, ref, want, says string
		by                    Resolver
	}{
		{"env", "env:CAUSEWAY_TEST_SECRET", hush, "", Resolver{}},
		{"unset", "env:CAUSEWAY_TEST_UNSET", "", "not set", Resolver{}},
		{"empty", "env:CAUSEWAY_TEST_EMPTY", "", "empty", Resolver{}},
		{"file", write("a", hush), hush, "", Resolver{}},
		{"line end", write("b", hush+"\r\n"), hush, "", Resolver{}},
		{"spaces stay", write("c", " a b \n"), " a b ", "", Resolver{}},
		{"empty file", write("d", "\n"), "", "empty", Resolver{}},
		{"long", write("e", strings.Repeat("x", maxSecret+1)), "", "longer", Resolver{}},
		{"longest", write("f", strings.Repeat("x", maxSecret)+"\n"), strings.Repeat("x", maxSecret), "", Resolver{}},
		{"no file", "file:" + dir + "/none", "", "no such file", Resolver{}},
		{"no vault", "azurekv:v/n", "", "no Azure Key Vault", Resolver{}},
		{"vault", "azurekv:v/n", hush, "", withVault},
		{"not in vault", "azurekv:v/m", "", "no such secret", withVault},
	} {
		v, err := c.by.Resolve(t.Context(), mustRef(t, c.ref))
		if v.Reveal() != c.want || (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %d bytes, %v", c.name, len(v.Reveal()), err)
		}
	}
	if v, err := Resolve(t.Context(), Ref{}); err != nil || !v.IsZero() {
		t.Errorf("the zero Ref: %v", err)
	}
	if _, err := Resolve(t.Context(), mustRef(t, "azurekv:v/n")); !errors.Is(err, ErrNoSource) {
		t.Errorf("no source: %v", err)
	}
}

func TestSplitAndExpand(t *testing.T) {
	kv := Ref{KindKeyVault, "my-vault/key"}
	for _, c := range []struct {
		text string
		want []Part
		err  error
	}{
		{"", nil, nil},
		{"https://h/{hub}/{event}", []Part{{Literal: "https://h/{hub}/{event}"}}, nil},
		{"https://h/?code={env:CODE}&x", []Part{{Literal: "https://h/?code="}, {Ref: Ref{KindEnv, "CODE"}}, {Literal: "&x"}}, nil},
		{"{file:/a}{env:B}", []Part{{Ref: Ref{KindFile, "/a"}}, {Ref: Ref{KindEnv, "B"}}}, nil},
		{"a{@Microsoft.KeyVault(SecretUri=https://my-vault.vault.azure.net/secrets/key)}", []Part{{Literal: "a"}, {Ref: kv}}, nil},
		{"{@Microsoft.KeyVault(SecretUri=https://my-vault.vault.azure.net/secrets/key/)}", []Part{{Ref: kv}}, nil},
		{"{@Microsoft.KeyVault(VaultName=my-vault;SecretName=key)}", []Part{{Ref: kv}}, nil},
		{"{azurekv:my-vault/key}", []Part{{Ref: kv}}, nil},
		{"{{env:A}}", []Part{{Literal: "{"}, {Ref: Ref{KindEnv, "A"}}, {Literal: "}"}}, nil},
		{"{env:A", nil, ErrUnclosed}, {"{env:}", nil, ErrReference},
		{"{@Microsoft.KeyVault}", nil, ErrReference}, {"{@Microsoft.KeyVault(SecretUri=http://v/secrets/k)}", nil, ErrReference},
		{"{@Microsoft.KeyVault(SecretUri=https://v/keys/k)}", nil, ErrReference}, {"{@Microsoft.KeyVault(x)}", nil, ErrReference},
	} {
		got, err := Split(c.text)
		if !errors.Is(err, c.err) || !cmp.Equal(got, c.want, cmp.AllowUnexported(Ref{})) {
			t.Errorf("Split(%q) = %+v, %v", c.text, got, err)
		}
	}
	t.Setenv("CAUSEWAY_TEST_SECRET", "{hub}")
	v, err := Resolver{}.Expand(t.Context(), "https://h/{hub}?c={env:CAUSEWAY_TEST_SECRET}")
	if err != nil || v.Reveal() != "https://h/{hub}?c={hub}" {
		t.Errorf("Expand: %v %v", v.Reveal(), err)
	}
	if _, err := (Resolver{}).Expand(t.Context(), "x{@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/k)}"); !errors.Is(err, ErrNoSource) {
		t.Errorf("Key Vault without a source: %v", err)
	}
}

func FuzzSplit(f *testing.F) {
	for _, s := range []string{"", "{env:A}", "x{file:/a}y{hub}", "{@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/k)}", "{{", "{env:"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		parts, err := Split(text)
		if err != nil {
			return
		}
		length := 0
		for _, p := range parts {
			length += len(p.Literal)
			if (p.Literal == "") == p.Ref.IsZero() {
				t.Fatalf("a part is neither or both: %+v", p)
			}
			if !p.Ref.IsZero() {
				if again, err := ParseRef(p.Ref.String()); err != nil || again != p.Ref {
					t.Fatalf("%v does not parse again: %v", p.Ref, err)
				}
			}
		}
		if length > len(text) {
			t.Fatal("the literals are longer than the text")
		}
	})
}
