package azure

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"sync"

	"causeway/internal/realtime"
	"causeway/internal/realtime/accesskey"
	"causeway/internal/secret"
)

// maxSignatures bounds how many signatures of a request are looked at.
const maxSignatures = 8

// verifySignature says whether one of the signatures in header ("sha256=<hex>"
// joined by commas, hex in any case) is that of the connection's id by one of keys.
func verifySignature(keys []secret.Value, connectionID, header string) bool {
	given := strings.SplitN(header, ",", maxSignatures+1)
	good := false
	for _, key := range keys {
		if key.IsZero() {
			continue
		}
		mac := hmac.New(sha256.New, []byte(key.Reveal()))
		mac.Write([]byte(connectionID))
		want := mac.Sum(nil)
		for _, g := range given[:min(len(given), maxSignatures)] {
			digits, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(g)), "sha256=")
			got, err := hex.DecodeString(digits)
			if ok && err == nil && hmac.Equal(got, want) {
				good = true
			}
		}
	}
	return good
}

// connectionOf reads the connection from the headers (spec §5.2).
func connectionOf(r *http.Request, id, hub string) realtime.Connection {
	user := r.Header.Get("X-ASRS-User-Id")
	return realtime.Connection{
		ID: id, Hub: hub, User: user,
		Claims: parseClaims(r.Header.Get("X-ASRS-User-Claims"), user),
		Query:  r.Header.Get("X-ASRS-Client-Query"),
	}
}

// parseClaims reads "type: value, type: value". Nothing in it is escaped: a part
// without ": " is taken for the rest of a value with a comma, but a value that
// looks like a claim is one. So applications must not put texts that users choose
// into claims. The user's id is left out, for it has a header of its own; other
// claims of the service are not, since nothing tells them from the application's.
func parseClaims(line, user string) map[string]string {
	claims := map[string]string{}
	escaped := map[string]string{}
	into, last := claims, ""
	for part := range strings.SplitSeq(line, ",") {
		name, value, found := strings.Cut(strings.TrimPrefix(part, " "), ": ")
		if !found {
			if last != "" {
				into[last] += "," + part
			}
			continue
		}
		into, last = claims, name
		if given, is := strings.CutPrefix(name, "asrs.u."); is {
			into, last = escaped, given
		}
		into[last] = value
	}
	for _, name := range []string{"asrs.s.uid", accesskey.NameIdentifier} {
		if user != "" && claims[name] == user {
			delete(claims, name)
		}
	}
	for name, value := range escaped {
		claims[name] = value
	}
	return claims
}

// turns lets the holders of one name in one after the other. It holds names
// only while somebody has or waits for a turn.
type turns struct {
	mu    sync.Mutex
	names map[string]*turn
}

type turn struct {
	free  chan struct{} // holds one token while nobody has the turn
	users int
}

// take waits for the turn of name; done gives it back.
func (t *turns) take(ctx context.Context, name string) (done func(), err error) {
	t.mu.Lock()
	if t.names == nil {
		t.names = map[string]*turn{}
	}
	n := t.names[name]
	if n == nil {
		n = &turn{free: make(chan struct{}, 1)}
		n.free <- struct{}{}
		t.names[name] = n
	}
	n.users++
	t.mu.Unlock()
	leave := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if n.users--; n.users == 0 {
			delete(t.names, name)
		}
	}
	select {
	case <-n.free:
		return func() { n.free <- struct{}{}; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}
