package rest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"causeway/internal/secret"
)

// continuation is what a continuation token says. It is signed together with
// the path and the hub of its list, so that it is good for no other, and nobody
// can make the service look up what they like.
type continuation struct {
	After string `json:"a"`
	Left  int    `json:"n,omitempty"` // entries that are left of top; 0 means all
}

var errContinuation = errors.New("continuation token refused")

func (h *Handler) sealContinuation(after string, left int, path, hub string) (string, error) {
	body, err := json.Marshal(continuation{after, left})
	if err != nil {
		return "", fmt.Errorf("seal continuation: %w", err)
	}
	for _, key := range h.cfg.Keys() {
		if !key.IsZero() {
			return base64.RawURLEncoding.EncodeToString(append(continuationMAC(key, body, path, hub), body...)), nil
		}
	}
	return "", errContinuation
}

func (h *Handler) openContinuation(token, path, hub string) (after string, left int, err error) {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) < sha256.Size {
		return "", 0, errContinuation
	}
	mac, body := b[:sha256.Size], b[sha256.Size:]
	for _, key := range h.cfg.Keys() {
		if key.IsZero() || !hmac.Equal(mac, continuationMAC(key, body, path, hub)) {
			continue
		}
		var c continuation
		if err := json.Unmarshal(body, &c); err != nil {
			return "", 0, errContinuation
		}
		return c.After, c.Left, nil
	}
	return "", 0, errContinuation
}

// continuationMAC separates its inputs by lengths, and itself from the other
// uses of the key by its first line.
func continuationMAC(key secret.Value, body []byte, path, hub string) []byte {
	mac := hmac.New(sha256.New, []byte(key.Reveal()))
	_, _ = fmt.Fprintf(mac, "causeway continuation\n%d %d %d\n%s%s", len(path), len(hub), len(body), path, hub)
	_, _ = mac.Write(body) // a hash never fails
	return mac.Sum(nil)
}
