package app

import (
	"encoding/base64"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"causeway/internal/budget"
	"causeway/internal/config"
	"causeway/internal/relay/control"
)

// Members hear of the books of a node that nobody has a link to: first that they come to an end, then that they have.
func TestNodesTellFunctions(t *testing.T) {
	var n *Node
	base, _ := startFunctions(t, func(c *config.Config) {
		t.Setenv("TEST_SIGNING", base64.StdEncoding.EncodeToString([]byte(nodeSigning)))
		n = startNode(t, func(c *NodeConfig) { c.Link.Tell = []string{"http://127.0.0.1:" + os.Getenv(portVariable)} })
		c.RelayNode = []config.RelayNode{{Name: "n", URL: n.ControlURLs()[0]}}
	})
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	p, other := pairOf(t, base), pairOf(t, base)
	books := n.link.books
	if err := books.Open("g", budget.Chain{Session: p.session, Member: p.peer}, 0); err != nil {
		t.Fatal(err)
	}
	relay := func(most int64) {
		t.Helper()
		for left := most; left > 0; {
			got, err := books.Lease(t.Context(), "g", left)
			if errors.Is(err, budget.ErrSpent) {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := books.Settle(t.Context(), "g", got, 0, 0); err != nil {
				t.Fatal(err)
			}
			left -= got
		}
	}
	relay(900_000)
	if e := next(t, p.host, "budget"); e["state"] != "warning" {
		t.Errorf("%v", e)
	}
	relay(200_000)
	for said := ""; said != "spent"; {
		said, _ = next(t, p.guest, "budget")["state"].(string)
	}
	if err := p.ask(t); err == nil || !strings.Contains(err.Error(), "relay_spent") {
		t.Errorf("asked for a relay: %v", err)
	}
	if err := other.ask(t); err != nil {
		t.Errorf("another session: %v", err)
	}
}

// What is too much for a budget is refused at once, to both, whoever asks first; a node's, and one of our own for bought relays.
func TestFunctionsRefuseTooMuch(t *testing.T) {
	for name, change := range map[string]func(*config.Config){
		"node": func(c *config.Config) {
			t.Setenv("TEST_SIGNING", base64.StdEncoding.EncodeToString([]byte(nodeSigning)))
			c.RelayNode = []config.RelayNode{{Name: "n", URL: startNode(t, nil).ControlURLs()[0]}}
		},
		"bought": func(c *config.Config) { c.SessionBudget = 1_000_000 },
		"bought, database": func(c *config.Config) {
			c.SessionBudget, c.State = 1_000_000, "sqlite:"+filepath.Join(t.TempDir(), "state.db")
		},
	} {
		t.Run(name, func(t *testing.T) {
			base, _ := startFunctions(t, change)
			defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
			short := func(who string, err error) {
				t.Helper()
				if err == nil || !strings.Contains(err.Error(), "relay_short") {
					t.Errorf("%s: %v", who, err)
				}
			}
			first := pairOf(t, base)
			short("the host, first", first.askFor(t, 2_000_000))
			short("then the guest", first.ask(t))
			second := pairOf(t, base)
			if err := second.ask(t); err != nil {
				t.Errorf("a guest, who knows no size: %v", err)
			}
			short("then the host", second.askFor(t, 2_000_000))
			short("then the guest again", second.ask(t))
			third := pairOf(t, base)
			if err := third.ask(t); err != nil {
				t.Error(err)
			}
			if err := third.askFor(t, 500_000); err != nil {
				t.Errorf("what fits: %v", err)
			}
		})
	}
}

// Only nodes are heard, and only sense.
func TestFunctionsHear(t *testing.T) {
	base, _ := startFunctions(t, func(c *config.Config) {
		t.Setenv("TEST_SIGNING", base64.StdEncoding.EncodeToString([]byte(nodeSigning)))
		c.RelayNode = []config.RelayNode{{Name: "n", URL: "http://127.0.0.1:1"}}
	})
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	for name, want := range map[string]error{"n": nil, "another": control.ErrDenied} {
		teller, err := control.NewTeller(base, nodeKey(t, name), http.DefaultTransport)
		if err != nil {
			t.Fatal(err)
		}
		if err := teller.Tell(t.Context(), control.Told{Level: "session", Session: "s", Spent: true}); !errors.Is(err, want) {
			t.Errorf("%s: %v", name, err)
		}
		if want == nil {
			for _, bad := range []control.Told{{Level: "session"}, {Level: "day", Session: "s"}, {Level: "session", Session: strings.Repeat("s", 300)}} {
				if err := teller.Tell(t.Context(), bad); err == nil {
					t.Errorf("%+v was heard", bad)
				}
			}
		}
	}
	if status := call(t, base+"/api/relay/v1/told", "", control.Told{Level: "session", Session: "s"}, nil); status != 401 {
		t.Errorf("without a token: %d", status)
	}
}
