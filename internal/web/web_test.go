package web

import (
	"compress/gzip"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
)

func TestServe(t *testing.T) {
	script := strings.Repeat("export const a = 1;\n", 100)
	h, err := newHandler(fstest.MapFS{
		"index.html":       {Data: []byte("<!doctype html>")},
		"chat.html":        {Data: []byte("<!doctype html>")},
		"assets/a-12ab.js": {Data: []byte(script)},
		".gitignore":       {Data: []byte("*")},
	})
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		method, path, accept, match string
		status                      int
		contentType, cache, coding  string
	}{
		{"GET", "/", "gzip, deflate, br", "", 200, "text/html; charset=utf-8", "no-cache", ""},
		{"GET", "/chat", "", "", 200, "text/html; charset=utf-8", "no-cache", ""},
		{"GET", "/chat/", "", "", 404, "text/plain; charset=utf-8", "", ""},
		{"HEAD", "/index.html", "", "", 200, "text/html; charset=utf-8", "no-cache", ""},
		{"GET", "/assets/a-12ab.js", "br, gzip", "", 200, "text/javascript; charset=utf-8", "public, max-age=31536000, immutable", "gzip"},
		{"GET", "/assets/a-12ab.js", "gzip;q=0, br", "", 200, "text/javascript; charset=utf-8", "public, max-age=31536000, immutable", ""},
		{"GET", "/.gitignore", "", "", 404, "text/plain; charset=utf-8", "", ""},
		{"GET", "/../index.html", "", "", 404, "text/plain; charset=utf-8", "", ""},
		{"POST", "/", "", "", 405, "text/plain; charset=utf-8", "", ""},
	}
	for _, c := range cases {
		t.Run(c.method+c.path+c.accept, func(t *testing.T) {
			w := get(h, c.method, c.path, c.accept, c.match)
			if w.Code != c.status || w.Header().Get("Content-Type") != c.contentType || w.Header().Get("Cache-Control") != c.cache || w.Header().Get("Content-Encoding") != c.coding {
				t.Errorf("%d %v", w.Code, w.Header())
			}
			if c.method == "HEAD" && w.Body.Len() > 0 {
				t.Error("HEAD has a body")
			}
			if c.coding == "gzip" {
				z, err := gzip.NewReader(w.Body)
				if err != nil {
					t.Fatal(err)
				}
				if b, err := io.ReadAll(z); err != nil || string(b) != script {
					t.Errorf("%v %q", err, b)
				}
			}
			if etag := w.Header().Get("ETag"); etag != "" {
				if again := get(h, "GET", c.path, c.accept, etag); again.Code != 304 || again.Body.Len() > 0 {
					t.Errorf("revalidated: %d", again.Code)
				}
			}
		})
	}
}

func get(h *Handler, method, path, accept, match string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	r.Header.Set("Accept-Encoding", accept)
	r.Header.Set("If-None-Match", match)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestNotBuilt(t *testing.T) {
	h, err := newHandler(fstest.MapFS{".gitignore": {Data: []byte("*")}})
	if err != nil {
		t.Fatal(err)
	}
	if w := get(h, "GET", "/", "", ""); w.Code != 404 || !strings.Contains(w.Body.String(), "make build") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
