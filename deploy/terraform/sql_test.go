package terraform

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// What an administrator runs in the database is read by a parser: nothing here can run it. The grammar lacks what
// Azure SQL has for identities of Entra (TYPE = E), and permissions on a schema; these are compared with what they should be.
func TestBootstrapSQL(t *testing.T) {
	needInfra(t)
	data, err := os.ReadFile("azure/sql/bootstrap.sql.tftpl")
	if err != nil {
		t.Fatal(err)
	}
	script := strings.NewReplacer("${app_name}", "id-causewaytst", "${app_sid}", "33221100554477668899AABBCCDDEEFF").Replace(string(data))
	change := func(old, fresh string) string {
		t.Helper()
		if strings.Count(script, old) != 1 || strings.Contains(script, "${") {
			t.Fatalf("%q is not there once, or something is not filled in:\n%s", old, script)
		}
		return strings.Replace(script, old, fresh, 1)
	}
	script = change(", TYPE = E", "")
	for _, permission := range []string{"SELECT", "INSERT", "UPDATE", "DELETE", "REFERENCES", "ALTER"} {
		script = change("GRANT "+permission+" ON SCHEMA::causeway TO causeway_app;\n", "")
	}
	if out, err := parseTSQL(t, script); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, spoilt := range []string{
		change("WITH SID =", "WITH SIDE ="),
		change("CREATE ROLE", "CRATE ROLE"),
		"",
	} {
		if out, err := parseTSQL(t, spoilt); err == nil {
			t.Errorf("the parser takes it:\n%s\n%s", spoilt, out)
		}
	}
}

func parseTSQL(t *testing.T, script string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "node", "tools/tsql.mjs")
	cmd.Stdin = strings.NewReader(script)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	err := cmd.Run()
	return said.String(), err
}
