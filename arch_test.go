// Package causeway_test holds the rules that the whole tree obeys.
package causeway_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// imports says which packages of Causeway each package may import, and which
// modules from elsewhere (a prefix; the standard library is free to all).
var imports = map[string]struct{ ours, modules []string }{
	"cmd/causeway":                    {[]string{"internal/cli"}, nil},
	"deploy/functions":                {nil, nil},
	"internal/funchost":               {nil, []string{"golang.org/x/sync"}},
	"internal/emulate":                {[]string{"internal/funchost", "internal/httpx", "internal/web"}, []string{"golang.org/x/sync"}},
	"internal/cli":                    {[]string{"deploy/functions", "internal/emulate", "internal/app", "internal/bench", "internal/bench/flood", "internal/bench/measure", "internal/bench/functions", "internal/bench/relay", "internal/config", "internal/ops", "internal/plan", "internal/smoke", "internal/sqldb", "internal/stats"}, []string{"github.com/alecthomas/kong"}},
	"internal/bench":                  {[]string{"internal/bench/load", "internal/bench/measure", "internal/bench/yardstick", "internal/realtime/accesskey", "internal/secret", "internal/realtime"}, nil},
	"internal/bench/load":             {[]string{"internal/realtime", "internal/realtime/accesskey", "internal/secret", "internal/signalr"}, []string{"github.com/gobwas/ws", "golang.org/x/sys"}},
	"internal/bench/flood":            {[]string{"internal/guard/work"}, []string{"github.com/gobwas/ws", "golang.org/x/sync"}},
	"internal/bench/functions":        {[]string{"deploy/functions", "internal/bench/measure", "internal/emulate"}, []string{"golang.org/x/sync"}},
	"internal/bench/measure":          {nil, nil},
	"internal/bench/relay":            {[]string{"internal/bench/measure", "internal/relay/udp"}, []string{"golang.org/x/sync", "golang.org/x/sys"}},
	"internal/bench/yardstick":        {nil, []string{"github.com/gobwas/ws", "golang.org/x/sync"}},
	"internal/config":                 {nil, []string{"go.yaml.in/yaml/v3"}},
	"internal/app":                    {[]string{"internal/..."}, []string{"golang.org/x/sync", "github.com/prometheus/client_golang"}},
	"internal/app/certs":              {[]string{"internal/config", "internal/liblog"}, []string{"github.com/caddyserver/certmagic", "go.uber.org/zap"}},
	"internal/app/place":              {[]string{"internal/httpx"}, nil},
	"internal/app/service":            {[]string{"internal/config", "internal/realtime", "internal/realtime/accesskey", "internal/realtime/echo", "internal/realtime/hub", "internal/realtime/rest", "internal/secret", "internal/signaling", "internal/token"}, []string{"github.com/prometheus/client_golang"}},
	"internal/realtime":               {nil, nil},
	"internal/realtime/accesskey":     {[]string{"internal/realtime", "internal/secret"}, []string{"github.com/golang-jwt/jwt/v5"}},
	"internal/realtime/echo":          {[]string{"internal/realtime"}, nil},
	"internal/entra":                  {nil, []string{"github.com/golang-jwt/jwt/v5"}},
	"internal/realtime/azure":         {[]string{"internal/entra", "internal/realtime", "internal/realtime/accesskey", "internal/secret", "internal/signalr"}, []string{"github.com/prometheus/client_golang", "github.com/tinylib/msgp"}},
	"internal/realtime/rest":          {[]string{"internal/realtime", "internal/realtime/accesskey", "internal/secret", "internal/signalr"}, []string{"github.com/prometheus/client_golang", "github.com/tinylib/msgp"}},
	"internal/realtime/hub":           {[]string{"internal/realtime", "internal/realtime/accesskey", "internal/loop", "internal/realtime/hub/frame", "internal/realtime/hub/members", "internal/realtime/hub/offer", "internal/realtime/hub/query", "internal/realtime/hub/replay", "internal/realtime/hub/usergroup", "internal/signalr"}, []string{"github.com/gobwas/ws", "github.com/prometheus/client_golang"}},
	"internal/realtime/hub/frame":     {[]string{"internal/signalr"}, []string{"github.com/gobwas/ws"}},
	"internal/realtime/hub/membus":    {[]string{"internal/realtime/hub"}, nil},
	"internal/realtime/hub/members":   {nil, nil},
	"internal/realtime/hub/offer":     {nil, nil},
	"internal/realtime/hub/query":     {nil, nil},
	"internal/realtime/hub/replay":    {[]string{"internal/realtime/hub/frame", "internal/signalr"}, nil},
	"internal/realtime/hub/usergroup": {nil, nil},
	"internal/realtime/realtimetest":  {[]string{"internal/realtime", "internal/signalr"}, []string{"github.com/gobwas/ws"}},
	"internal/signalr":                {nil, []string{"github.com/tinylib/msgp"}},
	"internal/front":                  {[]string{"internal/loop"}, []string{"github.com/prometheus/client_golang"}},
	"internal/acceptance":             {nil, nil},
	"internal/smoke":                  {nil, []string{"github.com/gobwas/ws", "github.com/pion/stun/v4", "github.com/pion/turn/v5"}},
	"internal/armtest":                {nil, nil},
	"deploy/terraform":                {nil, nil},
	"deploy/terraform/tools/thin":     {nil, nil},
	"internal/loop":                   {nil, []string{"golang.org/x/sys"}},
	"internal/garbage":                {nil, nil},
	"internal/liblog":                 {nil, []string{"go.uber.org/zap"}},
	"internal/guard":                  {[]string{"internal/guard/bucket", "internal/guard/work", "internal/httpx"}, []string{"github.com/prometheus/client_golang"}},
	"internal/guard/bucket":           {nil, nil},
	"internal/guard/work":             {nil, nil},
	"internal/grant":                  {[]string{"internal/ice"}, []string{"github.com/prometheus/client_golang", "golang.org/x/sync"}},
	"internal/grant/shared":           {[]string{"internal/grant", "internal/guard", "internal/ice"}, []string{"golang.org/x/sync"}},
	"internal/grant/sharedsql":        {[]string{"internal/grant/shared", "internal/sqldb"}, nil},
	"internal/signaling":              {[]string{"internal/realtime", "internal/budget", "internal/grant", "internal/guard", "internal/ice", "internal/token", "internal/httpx"}, nil},
	"internal/admin":                  {[]string{"internal/httpx", "internal/secret"}, []string{"github.com/prometheus/client_golang", "github.com/prometheus/client_model", "golang.org/x/time"}},
	"internal/demo":                   {[]string{"internal/realtime", "internal/grant", "internal/ice", "internal/httpx"}, nil},
	"internal/token":                  {nil, []string{"github.com/golang-jwt/jwt/v5"}},
	"internal/ice":                    {[]string{"internal/relay/control", "internal/relay/credential", "internal/secret"}, nil},
	"internal/relay":                  {[]string{"internal/relay/credential", "internal/relay/grants", "internal/relay/nonce", "internal/relay/policy", "internal/relay/udp", "internal/relay/wire"}, []string{"github.com/pion/stun/v4", "github.com/prometheus/client_golang", "golang.org/x/sync"}},
	"internal/relay/control":          {[]string{"internal/httpx", "internal/relay/grants", "internal/relay/policy", "internal/secret", "internal/token"}, []string{"github.com/golang-jwt/jwt/v5", "github.com/prometheus/client_golang", "golang.org/x/sync"}},
	"internal/relay/demux":            {nil, []string{"golang.org/x/sync"}},
	"internal/relay/grants":           {[]string{"internal/relay/policy"}, nil},
	"internal/relay/nonce":            {nil, nil},
	"internal/relay/policy":           {nil, nil},
	"internal/relay/udp":              {nil, []string{"golang.org/x/sys"}},
	"internal/relay/wire":             {nil, []string{"github.com/pion/stun/v4"}},
	"internal/relay/credential":       {nil, nil},
	"internal/budget/purse":           {[]string{"internal/budget", "internal/budget/sqlledger", "internal/guard"}, nil},
	"internal/budget/sqlledger":       {[]string{"internal/budget", "internal/sqldb"}, nil},
	"internal/budget":                 {nil, []string{"github.com/prometheus/client_golang"}},
	"internal/secret":                 {nil, nil},
	"internal/secret/azurekv":         {nil, []string{"github.com/Azure/azure-sdk-for-go/sdk"}},
	"internal/httpx":                  {nil, nil},
	"internal/plan":                   {nil, []string{"go.yaml.in/yaml/v3"}},
	"internal/sqldb":                  {[]string{"internal/secret"}, []string{"github.com/jackc/pgx/v5", "github.com/microsoft/go-mssqldb", "github.com/pressly/goose/v3", "modernc.org/sqlite"}},
	"internal/stats":                  {[]string{"internal/httpx", "internal/sqldb"}, []string{"github.com/prometheus/client_golang", "golang.org/x/time"}},
	"internal/sqldb/sqldbtest":        {[]string{"internal/sqldb"}, nil},
	"internal/ops":                    {nil, []string{"github.com/prometheus/client_golang"}},
	"internal/telemetry":              {nil, []string{"github.com/prometheus/client_golang", "github.com/prometheus/client_model"}},
	"internal/web":                    {nil, nil},
}

const module = "causeway/"

// testFiles are free to import what else they need.
func goFiles(t *testing.T) map[string][]string {
	t.Helper()
	byDir := map[string][]string{}
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || d.Name() == "testdata" || (name != "." && strings.HasPrefix(d.Name(), "."))) {
			return fs.SkipDir
		}
		if strings.HasSuffix(name, ".go") {
			dir := path.Dir(filepath.ToSlash(name))
			byDir[dir] = append(byDir[dir], name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return byDir
}

func parse(t *testing.T, name string) (*token.FileSet, *ast.File) {
	t.Helper()
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, name, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	return fset, f
}

func allowed(list []string, what string) bool {
	return slices.ContainsFunc(list, func(a string) bool {
		if prefix, ok := strings.CutSuffix(a, "/..."); ok {
			return strings.HasPrefix(what, prefix+"/")
		}
		return what == a
	})
}

func TestImports(t *testing.T) {
	for dir, files := range goFiles(t) {
		if dir == "." {
			continue
		}
		rule, ok := imports[dir]
		if !ok {
			t.Errorf("%s is not in the import table", dir)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			_, f := parse(t, name)
			for _, i := range f.Imports {
				p, err := strconv.Unquote(i.Path.Value)
				if err != nil {
					t.Fatal(err)
				}
				if own, isOwn := strings.CutPrefix(p, module); isOwn {
					if !allowed(rule.ours, own) {
						t.Errorf("%s imports %s, which the table forbids", name, own)
					}
				} else if first, _, _ := strings.Cut(p, "/"); strings.Contains(first, ".") {
					if !slices.ContainsFunc(rule.modules, func(m string) bool { return p == m || strings.HasPrefix(p, m+"/") }) {
						t.Errorf("%s imports %s, which the table forbids", name, p)
					}
				}
			}
		}
	}
	for dir := range imports {
		if _, err := os.Stat(dir); err != nil {
			t.Errorf("the import table has %s, which is not there", dir)
		}
	}
}

func TestPackageComments(t *testing.T) {
	for dir, files := range goFiles(t) {
		var comments int
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") && dir != "." {
				continue
			}
			if _, f := parse(t, name); f.Doc != nil {
				comments++
			}
		}
		if comments != 1 {
			t.Errorf("%s has %d package comments, want 1", dir, comments)
		}
	}
}

// Limits of shape (docs/architecture.md).
const (
	maxFile, maxMain, maxFunc = 500, 60, 60
	maxPackage                = 4000
	maxFields                 = 20
)

func TestShape(t *testing.T) {
	for dir, files := range goFiles(t) {
		total := 0
		for _, name := range files {
			fset, f := parse(t, name)
			lines := fset.Position(f.FileEnd).Line
			if lines > maxFile || (dir == "cmd/causeway" && lines > maxMain) {
				t.Errorf("%s has %d lines", name, lines)
			}
			if strings.HasSuffix(name, "_test.go") || strings.HasSuffix(dir, "test") { // a suite is a list of cases
				continue
			}
			total += lines
			checkDecls(t, fset, f)
		}
		if total > maxPackage {
			t.Errorf("%s has %d lines, split it by concept", dir, total)
		}
	}
}

func checkDecls(t *testing.T, fset *token.FileSet, f *ast.File) {
	t.Helper()
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			if n.Name.Name == "init" && n.Recv == nil {
				t.Errorf("%s: no init functions", fset.Position(n.Pos()))
			}
			if l := fset.Position(n.End()).Line - fset.Position(n.Pos()).Line + 1; l > maxFunc {
				t.Errorf("%s: %s has %d lines", fset.Position(n.Pos()), n.Name.Name, l)
			}
		case *ast.StructType:
			if n.Fields.NumFields() > maxFields {
				t.Errorf("%s: a struct of %d fields", fset.Position(n.Pos()), n.Fields.NumFields())
			}
		case *ast.Comment:
			if strings.HasPrefix(n.Text, "//"+"nolint") {
				t.Errorf("%s: a suppressed check", fset.Position(n.Pos()))
			}
		}
		return true
	})
}
