package ice

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	callTimeout = 10 * time.Second
	maxAnswer   = 1 << 20 // bytes
	maxText     = 512     // bytes of an answer that tell an error
)

// StatusError is a provider's refusal. Its text is the provider's, and not for clients.
type StatusError struct {
	Status int
	Text   string // the beginning of the answer
}

// Error does not hold Text, in which there might be a key.
func (e *StatusError) Error() string { return fmt.Sprintf("the provider answers %d", e.Status) }

// rest calls a provider's REST interface.
type rest struct{ client *http.Client }

// newREST uses base's transport, if it isn't nil. It follows no redirect: what is sent
// holds keys.
func newREST(base *http.Client) rest {
	c := http.Client{Timeout: callTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if base != nil {
		c.Transport = base.Transport
	}
	return rest{&c}
}

// call sends body as JSON (nil: none) and reads an answer of a 2xx status into answer (nil: not).
func (r rest) call(ctx context.Context, method, address, bearer string, body, answer any) error {
	var content io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		content = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, address, content)
	if err != nil {
		return errors.New("the provider's address is none") // err would show it, with the key
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	req.Header.Set("Accept", "application/json")
	resp, err := r.client.Do(req)
	if err != nil {
		return withoutURL(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return &StatusError{resp.StatusCode, string(b[:min(len(b), maxText)])}
	}
	if len(b) > maxAnswer {
		return fmt.Errorf("%w: longer than %d bytes", ErrAnswer, maxAnswer)
	}
	if answer != nil {
		if err := json.Unmarshal(b, answer); err != nil {
			return fmt.Errorf("%w: not the JSON that was expected", ErrAnswer) // err might show a key
		}
	}
	return nil
}

// withoutURL removes the URL, whose query may hold a key, from an error of net/http.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return fmt.Errorf("call the provider: %w", u.Err)
	}
	return err
}

// status returns the status of a refusal, and what it says in lower case; 0 for other errors.
func status(err error) (int, string) {
	var s *StatusError
	if errors.As(err, &s) {
		return s.Status, strings.ToLower(s.Text)
	}
	return 0, ""
}

// number is a JSON number, also one in quotes.
type number float64

func (n *number) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		return nil
	}
	f, err := strconv.ParseFloat(strings.Trim(string(b), `"`), 64)
	if err != nil || math.IsNaN(f) || f < 0 {
		return errors.New("not a number of bytes")
	}
	*n = number(f)
	return nil
}

// maxUsage bounds what a provider may claim, in bytes.
const maxUsage = 1 << 50

// bytes is n units of size, rounded up.
func (n number) bytes(size float64) int64 { return int64(min(math.Ceil(float64(n)*size), maxUsage)) }

// oneOrMany is a JSON array, or a single element in its place.
type oneOrMany[T any] []T

func (l *oneOrMany[T]) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '[' {
		return json.Unmarshal(b, (*[]T)(l))
	}
	*l = make([]T, 1)
	return json.Unmarshal(b, &(*l)[0])
}

// foreign is a Server as providers write it: urls is a text or a list.
type foreign struct {
	URLs       oneOrMany[string] `json:"urls"`
	Username   string            `json:"username"`
	Credential string            `json:"credential"`
}

func servers(list []foreign) ([]Server, error) {
	all := make([]Server, len(list))
	for i, f := range list {
		all[i] = Server{URLs: f.URLs, Username: f.Username, Credential: f.Credential}
	}
	return tidy(all)
}

func isLoopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

// seconds of a life, from one.
func seconds(life, def, most time.Duration) int64 {
	if life <= 0 {
		life = def
	}
	return int64(max(time.Second, min(life, most)) / time.Second)
}
