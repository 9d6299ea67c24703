// Command thin copies the source of the provider azurerm without the services that none of our resources are of.
//
// All of its 130 services take 24 minutes of a processor to compile, the dozen in use 6 (docs/benchmarks.md); what is left is the
// provider's own code, unchanged but for two lists: which services it registers (internal/provider), and which clients it makes
// for them (internal/clients). `make test-infra-full` uses the whole provider (scripts/infra.sh).
//
//	thin PROVIDER INFRASTRUCTURE OUT
//
// PROVIDER is the folder of the provider's module, INFRASTRUCTURE that of the code that uses it, OUT a folder that is not yet.
package main

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"log"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const (
	provider = "github.com/hashicorp/terraform-provider-azurerm/"
	services = "internal/services/"
	clients  = "internal/clients"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("thin: ")
	if len(os.Args) != 4 {
		log.Fatal("usage: thin PROVIDER INFRASTRUCTURE OUT")
	}
	if err := thin(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		log.Fatal(err)
	}
}

func thin(from, infrastructure, to string) error {
	if err := copySource(from, to); err != nil {
		return err
	}
	types, err := typesIn(infrastructure)
	if err != nil {
		return err
	}
	keep, err := servicesOf(to, types)
	if err != nil {
		return err
	}
	if len(keep) == 0 {
		return fmt.Errorf("no service of %s has a resource of %s", from, infrastructure)
	}
	if err := rewrite(to, "internal/provider", func(f *ast.File) { unregister(f, keep) }); err != nil {
		return err
	}
	used, err := fieldsUsed(to)
	if err != nil {
		return err
	}
	if err := rewrite(to, clients, func(f *ast.File) { dropClients(f, used) }); err != nil {
		return err
	}
	log.Printf("services with %d of our types: %s", len(types), strings.Join(keep, " "))
	return nil
}

// copySource copies what is compiled; the rest of the module is documentation and tests.
func copySource(from, to string) error {
	return filepath.WalkDir(from, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if slices.Contains([]string{"website", "examples", "internal/tools"}, filepath.ToSlash(rel)) {
				return fs.SkipDir
			}
			return os.MkdirAll(filepath.Join(to, rel), 0o755)
		}
		if (path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go")) && rel != "go.mod" && rel != "go.sum" {
			return nil
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), data, 0o644)
	})
}

var block = regexp.MustCompile(`(?m)^\s*(?:resource|data|ephemeral)\s+"(azurerm_\w+)"`)

// typesIn returns the types of resources that the infrastructure's code has, as string literals of Go.
func typesIn(folder string) ([]string, error) {
	var types []string
	err := filepath.WalkDir(folder, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Ext(name) != ".tf" {
			return err
		}
		code, err := os.ReadFile(name)
		for _, m := range block.FindAllSubmatch(code, -1) {
			types = append(types, strconv.Quote(string(m[1])))
		}
		return err
	})
	slices.Sort(types)
	return slices.Compact(types), err
}

// servicesOf returns the services whose code names one of the types: each service that has it, and perhaps another.
func servicesOf(module string, types []string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(module, services, "*", "*.go"))
	var keep []string
	for _, name := range files {
		code, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(types, func(t string) bool { return strings.Contains(string(code), t) }) {
			keep = append(keep, filepath.Base(filepath.Dir(name)))
		}
	}
	return slices.Compact(keep), err // the files are in order of their folders
}

// rewrite changes the files of one package.
func rewrite(module, pkg string, change func(*ast.File)) error {
	files, err := filepath.Glob(filepath.Join(module, pkg, "*.go"))
	if err != nil {
		return err
	}
	for _, name := range files {
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, nil, parser.SkipObjectResolution) // comments get lost; nobody reads them here
		if err != nil {
			return err
		}
		change(file)
		dropImports(file)
		out, err := os.Create(name)
		if err != nil {
			return err
		}
		if err := cmp.Or(format.Node(out, set, file), out.Close()); err != nil {
			return err
		}
	}
	return nil
}

// unregister drops the registrations `NAME.Registration{}` of services that are not kept.
func unregister(file *ast.File, keep []string) {
	ast.Inspect(file, func(n ast.Node) bool {
		if list, ok := n.(*ast.CompositeLit); ok {
			list.Elts = slices.DeleteFunc(list.Elts, func(e ast.Expr) bool {
				entry, ok := e.(*ast.CompositeLit)
				if !ok {
					return false
				}
				service, name := selector(entry.Type)
				return name == "Registration" && !slices.Contains(keep, service)
			})
		}
		return true
	})
}

// fieldsUsed returns the clients that are used in the packages that the provider is still made of. What else is selected from
// something that is called like a client is among them.
func fieldsUsed(module string) (map[string]bool, error) {
	used := map[string]bool{}
	seen := map[string]bool{clients: true} // it has them all
	for queue := []string{"internal/provider/framework", "internal/provider"}; len(queue) > 0; queue = queue[1:] {
		if seen[queue[0]] {
			continue
		}
		seen[queue[0]] = true
		files, err := filepath.Glob(filepath.Join(module, queue[0], "*.go"))
		if err != nil {
			return nil, err
		}
		for _, name := range files {
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
			if err != nil {
				return nil, err
			}
			for _, i := range file.Imports {
				if pkg, ours := strings.CutPrefix(importPath(i), provider); ours {
					queue = append(queue, pkg)
				}
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok && isClient(s.X) {
					used[s.Sel.Name] = true
				}
				return true
			})
		}
	}
	return used, nil
}

// isClient reports whether an expression may be all the clients: meta.(*clients.Client), metadata.Client, client.
func isClient(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.TypeAssertExpr:
		return true
	case *ast.SelectorExpr:
		return strings.HasSuffix(e.Sel.Name, "lient")
	case *ast.Ident:
		return strings.HasSuffix(e.Name, "lient") || e.Name == "clients"
	}
	return false
}

// dropClients drops, of each `if client.FIELD, err = PACKAGE.NewClient(…); …` whose field is not used, statement and field.
func dropClients(file *ast.File, used map[string]bool) {
	dropped := map[string]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		if body, ok := n.(*ast.BlockStmt); ok {
			body.List = slices.DeleteFunc(body.List, func(s ast.Stmt) bool {
				field := made(s)
				dropped[field] = field != "" && !used[field]
				return dropped[field]
			})
		}
		return true
	})
	ast.Inspect(file, func(n ast.Node) bool {
		if fields, ok := n.(*ast.FieldList); ok {
			fields.List = slices.DeleteFunc(fields.List, func(f *ast.Field) bool {
				return len(f.Names) == 1 && dropped[f.Names[0].Name]
			})
		}
		return true
	})
}

// made returns the field that a statement makes a service's client for, or "".
func made(s ast.Stmt) string {
	branch, ok := s.(*ast.IfStmt)
	if !ok {
		return ""
	}
	assign, ok := branch.Init.(*ast.AssignStmt)
	if !ok || len(assign.Lhs) != 2 {
		return ""
	}
	client, field := selector(assign.Lhs[0])
	if client != "client" {
		return ""
	}
	return field
}

// dropImports drops the imports of services, and of Azure's interfaces, that nothing uses any more.
func dropImports(file *ast.File) {
	used := map[string]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			name, _ := selector(s)
			used[name] = true
		}
		return true
	})
	unused := func(s ast.Spec) bool {
		i, ok := s.(*ast.ImportSpec)
		if !ok {
			return false
		}
		where := importPath(i)
		name := path.Base(where)
		if i.Name != nil {
			name = i.Name.Name
		}
		return !used[name] && (where == "fmt" || strings.HasPrefix(where, provider+services) || strings.Contains(where, "/resource-manager/"))
	}
	for _, d := range file.Decls {
		if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.IMPORT {
			g.Specs = slices.DeleteFunc(g.Specs, unused)
		}
	}
}

// selector takes X.Y apart, where X is a name.
func selector(e ast.Expr) (x, y string) {
	if s, ok := e.(*ast.SelectorExpr); ok {
		if name, ok := s.X.(*ast.Ident); ok {
			return name.Name, s.Sel.Name
		}
	}
	return "", ""
}

func importPath(i *ast.ImportSpec) string {
	p, _ := strconv.Unquote(i.Path.Value) // the parser took it
	return p
}
