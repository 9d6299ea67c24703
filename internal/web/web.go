// Package web serves the front end that is embedded in the binary: what
// `make build` leaves in dist. Files under assets/ carry a hash of their content
// in their names and are cached for good; everything else is revalidated.
package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
)

//go:embed all:dist
var dist embed.FS

// file is one file, ready to be sent.
type file struct {
	contentType, etag, cache string
	plain, gzipped           []byte // gzipped is nil where it wouldn't be smaller
}

// Handler answers GET and HEAD for the files of the front end; "/" is index.html, "/chat" chat.html.
type Handler struct {
	files map[string]*file
}

// New reads the embedded files.
func New() (*Handler, error) {
	sub, err := fs.Sub(dist, "dist")
	if err != nil {
		return nil, fmt.Errorf("embedded front end: %w", err)
	}
	return newHandler(sub)
}

func newHandler(root fs.FS) (*Handler, error) {
	h := &Handler{files: map[string]*file{}}
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(path.Base(name), ".") {
			return err
		}
		b, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		f, err := newFile(name, b)
		h.files["/"+name] = f
		if page, ok := strings.CutSuffix(name, ".html"); ok {
			h.files["/"+page] = f
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("embedded front end: %w", err)
	}
	if index, ok := h.files["/index.html"]; ok {
		h.files["/"] = index
	}
	return h, nil
}

func newFile(name string, b []byte) (*file, error) {
	sum := sha256.Sum256(b)
	f := &file{
		contentType: contentType(name),
		etag:        `"` + hex.EncodeToString(sum[:8]) + `"`,
		cache:       "no-cache",
		plain:       b,
	}
	if strings.HasPrefix(name, "assets/") {
		f.cache = "public, max-age=31536000, immutable"
	}
	var z bytes.Buffer
	w, err := gzip.NewWriterLevel(&z, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(b); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	if z.Len() < len(b)*9/10 {
		f.gzipped = z.Bytes()
	}
	return f, nil
}

// contentType doesn't ask the system's tables, which differ between machines.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".webmanifest":
		return "application/manifest+json"
	case ".png", ".json":
		return mime.TypeByExtension(path.Ext(name))
	}
	return "application/octet-stream"
}

// Built reports whether the binary was built with the front end.
func (h *Handler) Built() bool { return h.files["/"] != nil }

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	f := h.files[r.URL.Path]
	if f == nil {
		message := "There is no such page."
		if !h.Built() {
			message = "This binary was built without the front end. Build it with: make build"
		}
		http.Error(w, message, http.StatusNotFound)
		return
	}
	head := w.Header()
	head.Set("Content-Type", f.contentType)
	head.Set("Cache-Control", f.cache)
	head.Set("ETag", f.etag)
	body := f.plain
	if f.gzipped != nil {
		head.Set("Vary", "Accept-Encoding")
		if acceptsGzip(r) {
			head.Set("Content-Encoding", "gzip")
			body = f.gzipped
		}
	}
	if match := r.Header.Get("If-None-Match"); match == f.etag {
		head.Del("Content-Encoding")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	head.Set("Content-Length", fmt.Sprint(len(body)))
	if r.Method == http.MethodGet {
		_, _ = w.Write(body) // a client that went away is nobody to tell
	}
}

// acceptsGzip reads the simple forms of Accept-Encoding that browsers send; a
// coding with q=0 counts as refused.
func acceptsGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(strings.Join(r.Header.Values("Accept-Encoding"), ","), ",") {
		coding, q, _ := strings.Cut(part, ";")
		if strings.TrimSpace(coding) == "gzip" {
			return strings.Trim(strings.TrimPrefix(strings.TrimSpace(q), "q="), "0.") != "" || q == ""
		}
	}
	return false
}
