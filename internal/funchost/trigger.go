package funchost

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"time"
)

// runTimer calls a function when its schedule is due.
func (h *Host) runTimer(ctx context.Context, f *function) error {
	select {
	case <-h.ready:
	case <-ctx.Done():
		return nil
	}
	for {
		due := f.schedule.next(time.Now())
		if due.IsZero() {
			<-ctx.Done()
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Until(due)):
		}
		if err := h.Fire(ctx, f.name); err != nil && ctx.Err() == nil {
			h.cfg.Logger.Error("a timer's function failed", "function", f.name, "err", err)
		}
	}
}

// Fire calls a timer's function now.
func (h *Host) Fire(ctx context.Context, name string) error {
	for i := range h.cfg.App.functions {
		f := &h.cfg.App.functions[i]
		if !f.timer || f.name != name {
			continue
		}
		h.called(f)
		now := time.Now()
		_, err := h.invoke(ctx, f, map[string]any{
			"Schedule":       map[string]any{"AdjustForDST": true},
			"ScheduleStatus": map[string]any{"Last": now.Format(time.RFC3339), "Next": f.schedule.next(now).Format(time.RFC3339), "LastUpdated": now.Format(time.RFC3339)},
			"IsPastDue":      false,
		})
		return err
	}
	return errNoTimer
}

// enveloped serves a request by a handler that wants envelopes.
func (h *Host) enveloped(w http.ResponseWriter, r *http.Request, f *function) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	answer, err := h.invoke(r.Context(), f, map[string]any{
		"Url": "http://" + r.Host + r.URL.RequestURI(), "Method": r.Method, "Query": r.URL.Query(), "Headers": r.Header, "Params": map[string]string{}, "Body": string(body),
	})
	var out struct {
		StatusCode any
		Headers    map[string]string
		Body       json.RawMessage
	}
	for _, raw := range answer.Outputs {
		if json.Unmarshal(raw, &out) == nil {
			break
		}
	}
	if err != nil {
		h.cfg.Logger.WarnContext(r.Context(), "a function failed", "function", f.name, "err", err)
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	for name, value := range out.Headers {
		w.Header().Set(name, value)
	}
	w.WriteHeader(statusOf(out.StatusCode))
	var text string
	if json.Unmarshal(out.Body, &text) == nil {
		out.Body = []byte(text)
	}
	_, _ = w.Write(out.Body) // a client that went away is nobody to tell
}

// statusOf reads a number, also one in quotes.
func statusOf(v any) int {
	switch v := v.(type) {
	case float64:
		if v >= 200 && v < 600 {
			return int(v)
		}
	case string:
		if n, err := strconv.Atoi(v); err == nil && n >= 200 && n < 600 {
			return n
		}
	}
	return http.StatusOK
}
