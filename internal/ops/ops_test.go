package ops

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestRoutes(t *testing.T) {
	o, mux := New(), http.NewServeMux()
	o.Routes(mux)
	get := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		return w
	}
	if w := get("/healthz"); w.Code != 200 {
		t.Errorf("healthz: %d", w.Code)
	}
	for _, ready := range []bool{false, true, false} {
		o.SetReady(ready)
		if w := get("/readyz"); (w.Code == 200) != ready {
			t.Errorf("ready %v: %d", ready, w.Code)
		}
	}
	if w := get("/metrics"); w.Code != 200 || !strings.Contains(w.Body.String(), `causeway_build_info{version="`) || !strings.Contains(w.Body.String(), "go_goroutines") {
		t.Errorf("metrics: %d %s", w.Code, w.Body)
	}
}
