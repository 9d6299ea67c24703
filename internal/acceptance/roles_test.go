package acceptance

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/pion/ice/v4"
)

// ticket is what an attendant says of a relay: a credential, or why there is none, or that a budget
// is spent.
type ticket struct {
	Username, Credential string
	Refused              string
	Spent                string
}

// attendant is a member that only is there: the host asks for a relay with each guest that comes, and
// both say what they get. By "bye" it leaves; by "metrics" it says the server's, as anybody may.
func attendant(ctx context.Context) error {
	m := &member{role: "host", early: map[int][]string{}, opened: make(chan *ice.Conn, 4), pending: make(chan event, 64)}
	invite := os.Getenv("CAUSEWAY_TEST_INVITE")
	if invite != "" {
		m.role = "guest"
	}
	grant, invite, err := m.join(ctx, invite)
	if err != nil {
		return err
	}
	if m.role == "host" {
		fmt.Println(invite)
	}
	if err := m.connect(ctx, grant); err != nil {
		return err
	}
	commands := commandLines()
	for {
		select {
		case <-ctx.Done():
			return nil
		case e, ok := <-m.pending:
			if !ok {
				return nil // the server has closed the connection
			}
			m.attend(ctx, e)
		case c, ok := <-commands:
			switch {
			case !ok:
				return nil
			case c == "bye":
				_, _ = m.hub.Invoke(ctx, "bye", map[string]any{}) // the connection ends with it
			case c == "metrics":
				if err := sayMetrics(ctx); err != nil {
					return err
				}
			}
		}
	}
}

func (m *member) attend(ctx context.Context, e event) {
	switch e.target {
	case "hello":
		if m.role == "guest" {
			return
		}
		m.link++
		if _, err := m.hub.Invoke(ctx, "relay", map[string]any{"to": e.from.From, "link": m.link}); err != nil {
			say(ticket{Refused: err.Error()})
		}
	case "relay":
		for _, s := range e.from.ICEServers {
			if s.Username != "" {
				say(ticket{Username: s.Username, Credential: s.Credential})
				return
			}
		}
	case "budget":
		if e.from.State == "spent" {
			say(ticket{Spent: e.from.Level})
		}
	}
}

func say(v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // of our own types
	}
	fmt.Println(string(b))
}

// commandLines are the lines of standard input.
func commandLines() <-chan string {
	lines := make(chan string)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(os.Stdin); s.Scan(); {
			lines <- s.Text()
		}
	}()
	return lines
}

// sayMetrics says the relay's metrics as one object.
func sayMetrics(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/metrics", nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	all := map[string]float64{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := strconv.ParseFloat(value, 64); err == nil && strings.HasPrefix(name, "causeway_relay_") {
			all[strings.TrimPrefix(name, "causeway_relay_")] = n
		}
	}
	say(all)
	return nil
}
