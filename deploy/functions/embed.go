// Package functions is what the Functions host reads beside the binary: host.json, and a
// function.json for each function. internal/app/functions.go is what they lead to.
//
// Package makes the zip file that is deployed. It is the same, byte for byte, for the same binary:
// names are in order, and times are all the same.
package functions

import (
	"archive/zip"
	"embed"
	"fmt"
	"io"
	"io/fs"
	"time"
)

// Files is this folder's part of a package that is deployed.
//
//go:embed host.json */function.json
var Files embed.FS

// Package writes a zip file with Files and the binary, which the host starts under the name that
// host.json has for it.
func Package(w io.Writer, binary io.Reader) error {
	z := zip.NewWriter(w)
	add := func(name string, mode fs.FileMode, from io.Reader) error {
		h := &zip.FileHeader{Name: name, Method: zip.Deflate, Modified: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)}
		h.SetMode(mode)
		to, err := z.CreateHeader(h)
		if err != nil {
			return err
		}
		_, err = io.Copy(to, from)
		return err
	}
	if err := add("causeway", 0o755, binary); err != nil {
		return fmt.Errorf("package: %w", err)
	}
	err := fs.WalkDir(Files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		f, err := Files.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		return add(name, 0o644, f)
	})
	if err != nil {
		return fmt.Errorf("package: %w", err)
	}
	return z.Close()
}
