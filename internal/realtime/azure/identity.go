package azure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"causeway/internal/secret"
)

// Scope is what an identity's token for the data plane is asked for.
const Scope = "https://signalr.azure.com/.default"

// temporaryLife is that of a key which the service gives to an identity (spec §1.6). The official
// SDK fetches a new one after 55 minutes, half of this, and the service takes it for two hours.
const temporaryLife = 110 * time.Minute

// clientKey returns what a client's token is signed with, and the id that names it. Where the
// application has no key of its own, the service gives one to who shows an identity's token.
func (c *Client) clientKey(ctx context.Context) (key secret.Value, id string, err error) {
	if key := c.cfg.Connection().Key; !key.IsZero() {
		return key, "", nil
	}
	both, err := c.temporary.Token(ctx)
	if err != nil {
		return secret.Value{}, "", fmt.Errorf("key for clients' tokens: %w", err)
	}
	id, text, _ := strings.Cut(both, " ")
	return secret.New(text), id, nil
}

// fetchKey returns a temporary key's id and the key, with a space between.
func (c *Client) fetchKey(ctx context.Context) (string, time.Time, error) {
	body, err := c.call(ctx, request{method: http.MethodGet, whole: "/api/v1/auth/accessKey"})
	if err != nil {
		return "", time.Time{}, err
	}
	var answer struct{ AccessKey, KeyID string }
	if err := json.Unmarshal(body, &answer); err != nil || answer.AccessKey == "" || answer.KeyID == "" || strings.Contains(answer.KeyID, " ") {
		return "", time.Time{}, errors.New("the service's answer holds no key")
	}
	return answer.KeyID + " " + answer.AccessKey, time.Now().Add(temporaryLife), nil
}
