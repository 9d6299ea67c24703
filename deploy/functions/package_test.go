package functions

import (
	"archive/zip"
	"bytes"
	"io/fs"
	"strings"
	"testing"
)

// The same binary makes the same package, with all that the host reads, and a binary that it may start.
func TestPackage(t *testing.T) {
	binary := strings.Repeat("a binary, ", 10_000)
	pack := func() []byte {
		t.Helper()
		var b bytes.Buffer
		if err := Package(&b, strings.NewReader(binary)); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	first := pack()
	if !bytes.Equal(first, pack()) {
		t.Error("two packages of one binary differ")
	}
	z, err := zip.NewReader(bytes.NewReader(first), int64(len(first)))
	if err != nil {
		t.Fatal(err)
	}
	modes := map[string]fs.FileMode{}
	for _, f := range z.File {
		modes[f.Name] = f.Mode()
	}
	want := 1
	err = fs.WalkDir(Files, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			want++
			if modes[name] != 0o644 {
				t.Errorf("%s: %v", name, modes[name])
			}
		}
		return err
	})
	if err != nil || want < 5 || len(modes) != want || modes["causeway"] != 0o755 {
		t.Errorf("%v of %d, %v", modes, want, err)
	}
}
