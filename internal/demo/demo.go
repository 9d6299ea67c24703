// Package demo is the server of the published example chat: everybody who connects is in
// one conversation, and may have TURN credentials. A front end that was written for that
// example works against this server, by its base URL.
//
//	POST /api/negotiate, with the header userId   → {"url","accessToken"}
//	invoke broadcast(text)                        → all get onMessage({"ConnectionId","UserId","Text"})
//	                                                and onStatistics({"Messages","MessagesToday"})
//	invoke aquireturncredential(region)           → onTURNCredidentials([ICE server, …])   (spelled so)
//
// The published one could be exploited: anybody got credentials without a limit, for any
// peer and any number of bytes. Here the whole demo is one session of package grant. Who is
// alone gets STUN only; with a second one, credentials of a closed relay, which reaches nothing but the
// relayed addresses of others in the demo, under a budget of its own for each day.
//
// The user id is what its owner says it is: a name to show, and nothing more. No right hangs on
// it, and nobody is addressed by it. Texts are passed on as they are; to show them as text is
// the front end's duty.
//
// A Demo keeps nothing: who is there, the realtime service knows; rates and the use of relays are
// with Rates and Relays, which several processes may share. It is the same on one server and on
// Azure Functions.
//
// # Bounds and policies
//
//	connections          Limits.Members; more are closed. Where processes share the demo, two that come at once may both be the last
//	text                 Limits.Text bytes; a longer one is an error
//	messages             of a connection and of all: Limits.Rate, Limits.TotalRate a second, bursts of five times as much; an error
//	credentials          of a connection: a burst of 4, then one in 10 s; an error
//	name                 64 characters without control characters; a longer one is an error
package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"causeway/internal/grant"
	"causeway/internal/ice"
	"causeway/internal/realtime"
)

// Hub is the name of the hub, which the published front end calls ChatHub.
const Hub = "chathub"

// Session is the one session of all, and Group the group of the realtime service that they are in. The
// members of the session are connections, by their ids.
const (
	Session = "demo"
	Group   = "demo"
)

// Relays is package grant, or grant/shared: who is there, and may use a relay with whom.
type Relays interface {
	// Admit lets a connection in, or returns grant.ErrFull if atMost others are there.
	Admit(ctx context.Context, m grant.Member, connectionID string, atMost int) error
	// Pair returns ICE servers for a and for b, or one of package grant's errors.
	Pair(ctx context.Context, a, b grant.Member, need grant.Need) (forA, forB []ice.Server, err error)
	Left(ctx context.Context, m grant.Member)
}

// Rates keeps buckets of tokens, as a Store of package grant/shared does.
type Rates interface {
	// Take takes a token of a bucket that holds burst and gains one every `every`; false if it is empty.
	Take(ctx context.Context, bucket string, now time.Time, burst int, every time.Duration) (bool, error)
}

// Config is what New needs. Realtime, ICE, Relays, Rates, Count and Origin are required.
type Config struct {
	Realtime realtime.Service
	// ICE returns the ICE servers that everybody may use: no credentials.
	ICE    func() []ice.Server
	Relays Relays
	Rates  Rates
	// Count counts one more message, and returns how many there were, ever and today (UTC).
	Count func(ctx context.Context) (all, today int64, err error)
	// Refused, if it is not nil, counts a refusal by the code that the client gets.
	Refused func(code string)
	// Admit, if it is not nil, refuses requests to negotiate by an error.
	Admit func(*http.Request) error
	// Origins (scheme://host[:port]) of front ends elsewhere; "*" is any.
	Origins []string
	// Origin returns the origin at which a request reached this server.
	Origin func(*http.Request) string
	// ClientAddr returns the address that a request came from; nil: not known.
	ClientAddr func(*http.Request) netip.Addr
	// DayBytes caps what the demo's members relay in a UTC day; 1 GiB by default.
	DayBytes int64
	Limits   Limits
	Logger   *slog.Logger // default: discards
}

// Limits bounds the demo. A zero field takes its default.
type Limits struct {
	Members   int     // connections; 200
	Text      int     // bytes of a message; 4096
	Rate      float64 // messages a second of a connection; 2
	TotalRate float64 // and of all; 50
}

// burst is how many messages may come at once, in seconds of their rate.
const burst = 5

// Demo is the realtime.Handler of Hub, and answers requests to negotiate. It is safe for
// concurrent use.
type Demo struct{ cfg Config }

var _ realtime.Handler = (*Demo)(nil)

// New returns a Demo; it starts nothing.
func New(cfg Config) (*Demo, error) {
	if cfg.Realtime == nil || cfg.ICE == nil || cfg.Relays == nil || cfg.Rates == nil || cfg.Count == nil || cfg.Origin == nil {
		return nil, errors.New("demo: incomplete configuration")
	}
	l := &cfg.Limits
	if l.Members < 0 || l.Text < 0 || l.Rate < 0 || l.TotalRate < 0 || cfg.DayBytes < 0 {
		return nil, errors.New("demo: a negative limit")
	}
	if l.Members == 0 {
		l.Members = 200
	}
	if l.Text == 0 {
		l.Text = 4096
	}
	if l.Rate == 0 {
		l.Rate = 2
	}
	if l.TotalRate == 0 {
		l.TotalRate = 50
	}
	if cfg.DayBytes == 0 {
		cfg.DayBytes = 1 << 30
	}
	if cfg.Admit == nil {
		cfg.Admit = func(*http.Request) error { return nil }
	}
	if cfg.Refused == nil {
		cfg.Refused = func(string) {}
	}
	if cfg.ClientAddr == nil {
		cfg.ClientAddr = func(*http.Request) netip.Addr { return netip.Addr{} }
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Demo{cfg}, nil
}

// limit is one bucket, at so many a second.
type limit struct {
	name  string
	burst int
	every time.Duration
}

func limitOf(name string, perSecond float64) limit {
	return limit{name, max(1, int(burst*perSecond)), time.Duration(float64(time.Second) / perSecond)}
}

// take takes a token of each of limits, or returns what a client is told.
func (d *Demo) take(ctx context.Context, limits ...limit) error {
	now := time.Now()
	for _, l := range limits {
		ok, err := d.cfg.Rates.Take(ctx, l.name, now, l.burst, l.every)
		if err != nil {
			return fmt.Errorf("demo rates: %w", err)
		}
		if !ok {
			return &realtime.Error{Code: "too_fast", Message: "That was too fast. Wait a moment, then try again."}
		}
	}
	return nil
}

// member is c in the eyes of package grant: each connection is a member by itself.
func (d *Demo) member(c realtime.Connection) grant.Member {
	m := grant.Member{Session: Session, Peer: c.ID, Terms: grant.Terms{Closed: true, DayBytes: d.cfg.DayBytes}}
	m.Addr, _ = netip.ParseAddr(c.Claims[claimAddr])
	return m
}

// Connected lets the connection in, unless the demo is full.
func (d *Demo) Connected(ctx context.Context, c realtime.Connection) {
	if err := d.cfg.Relays.Admit(ctx, d.member(c), c.ID, d.cfg.Limits.Members); err != nil {
		d.cfg.Refused("demo_full")
		d.close(ctx, c.ID, "the demo is full")
		return
	}
	if err := d.cfg.Realtime.JoinGroup(ctx, Group, c.ID); err != nil && !errors.Is(err, realtime.ErrNoConnection) {
		d.cfg.Logger.ErrorContext(ctx, "join group failed", "err", err)
		d.close(ctx, c.ID, "could not join the demo")
	}
}

// Disconnected takes back what the connection has. It does not come back as the same member.
func (d *Demo) Disconnected(ctx context.Context, c realtime.Connection, _ string) {
	d.cfg.Relays.Left(ctx, d.member(c))
}

func (d *Demo) close(ctx context.Context, connectionID, reason string) {
	if err := d.cfg.Realtime.CloseConnection(ctx, connectionID, reason); err != nil && !errors.Is(err, realtime.ErrNoConnection) {
		d.cfg.Logger.ErrorContext(ctx, "close connection failed", "err", err)
	}
}

// Invoked handles one message of a connection.
func (d *Demo) Invoked(ctx context.Context, c realtime.Connection, m realtime.Message) (json.RawMessage, error) {
	err := badMessage("there is no such method")
	switch m.Target {
	case "broadcast":
		err = d.broadcast(ctx, c, m.Arguments)
	case "aquireturncredential":
		err = d.credentials(ctx, c, m.Arguments)
	}
	var refused *realtime.Error
	if errors.As(err, &refused) {
		d.cfg.Refused(refused.Code)
	}
	return nil, err
}

func badMessage(what string) error {
	return &realtime.Error{Code: "bad_message", Message: "The message was not understood: " + what + "."}
}

// chatMessage and chatStatistics are what everybody gets.
type chatMessage struct{ ConnectionID, UserID, Text string }

// MarshalJSON writes the names that the published front end reads.
func (m chatMessage) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		ConnectionID string `json:"ConnectionId"`
		UserID       string `json:"UserId"`
		Text         string
	}(m))
}

type chatStatistics struct{ Messages, MessagesToday int64 }

// text is the one argument of a message: a string.
func text(arguments []json.RawMessage) (string, bool) {
	var s *string
	if len(arguments) != 1 || json.Unmarshal(arguments[0], &s) != nil || s == nil {
		return "", false
	}
	return *s, true
}

func (d *Demo) broadcast(ctx context.Context, c realtime.Connection, arguments []json.RawMessage) error {
	said, ok := text(arguments)
	switch {
	case !ok:
		return badMessage(`"broadcast" takes one text`)
	case len(said) > d.cfg.Limits.Text:
		return &realtime.Error{Code: "too_large", Message: "The text is too long."}
	}
	l := d.cfg.Limits
	if err := d.take(ctx, limitOf("demo messages "+c.ID, l.Rate), limitOf("demo messages", l.TotalRate)); err != nil {
		return err
	}
	if err := d.all(ctx, "onMessage", chatMessage{ConnectionID: c.ID, UserID: named(c), Text: said}); err != nil {
		return err
	}
	all, today, err := d.cfg.Count(ctx)
	if err != nil { // the message is out
		d.cfg.Logger.ErrorContext(ctx, "count a message failed", "err", err)
		return nil
	}
	return d.all(ctx, "onStatistics", chatStatistics{all, today})
}

func (d *Demo) all(ctx context.Context, target string, what any) error {
	m, err := realtime.NewMessage(target, what)
	if err != nil {
		return err
	}
	return d.cfg.Realtime.Send(ctx, realtime.Group(Group), m)
}

// maxRegion is the length of a region's name. One that no relay has is as good as none.
const maxRegion = 32

func (d *Demo) credentials(ctx context.Context, c realtime.Connection, arguments []json.RawMessage) error {
	var region string
	if len(arguments) > 1 || len(arguments) == 1 && (json.Unmarshal(arguments[0], &region) != nil || len(region) > maxRegion) {
		return badMessage(`"aquireturncredential" takes a region`)
	}
	if err := d.take(ctx, limit{"demo credentials " + c.ID, 4, 10 * time.Second}); err != nil {
		return err
	}
	servers := d.cfg.ICE()
	other, ok, err := d.other(ctx, c)
	if err != nil {
		return err
	}
	if ok {
		mine, _, err := d.cfg.Relays.Pair(ctx, d.member(c), other, grant.Need{Region: region})
		if err != nil { // a direct path may do
			d.cfg.Logger.InfoContext(ctx, "no credentials for the demo", "err", err)
		} else {
			servers = mine
		}
	}
	if servers == nil {
		servers = []ice.Server{}
	}
	m, err := realtime.NewMessage("onTURNCredidentials", servers)
	if err != nil {
		return err
	}
	return d.cfg.Realtime.Send(ctx, realtime.ToConnection(c.ID), m)
}

// other finds one who is in the demo besides c. Their grants end with each other's presence: when
// it leaves, c asks again.
func (d *Demo) other(ctx context.Context, c realtime.Connection) (m grant.Member, ok bool, err error) {
	p, can := d.cfg.Realtime.(realtime.Presence)
	if !can {
		return m, false, nil
	}
	page, _, err := p.Connections(ctx, realtime.Group(Group), "", 2)
	if err != nil {
		return m, false, err
	}
	for _, one := range page {
		if one.ConnectionID != c.ID {
			return d.member(realtime.Connection{ID: one.ConnectionID}), true, nil
		}
	}
	return m, false, nil
}
