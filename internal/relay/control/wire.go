package control

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"causeway/internal/relay/grants"
	"causeway/internal/relay/policy"
)

// Prefix is where everything is, at a node and at the control plane.
const Prefix = "/relay/v1/"

// Grant is what is put: relay/grants.Grant, with lives in milliseconds from now.
type Grant struct {
	Session string       `json:"session"`
	Member  string       `json:"member"`
	Live    int64        `json:"live_ms"` // without a renewal
	Most    int64        `json:"most_ms"` // with renewals
	Policy  string       `json:"policy,omitempty"`
	Addrs   []netip.Addr `json:"addrs,omitempty"`
	ICE     []ICE        `json:"ice,omitempty"`
	Bytes   int64        `json:"bytes,omitempty"`     // of the transfer, for a node that keeps its own books; 0: not known
	Day     int64        `json:"day_bytes,omitempty"` // likewise: the session's cap for a UTC day; 0: none
}

// ICE is grants.ICEAuth.
type ICE struct {
	Ufrag string `json:"ufrag"`
	Pwd   string `json:"pwd"`
}

// Bounds of a Grant.
const (
	maxText  = 256
	maxAddrs = 16
	maxICE   = 16
	maxLife  = 48 * time.Hour
)

// grant makes it what the relay knows, if it is sane.
func (g Grant) grant(id string, now time.Time) (grants.Grant, bool) {
	live, lok := milliseconds(g.Live)
	most, mok := milliseconds(g.Most)
	if !lok || !mok || g.Session == "" || g.Member == "" || len(g.Session) > maxText || len(g.Member) > maxText || len(g.Addrs) > maxAddrs ||
		len(g.ICE) > maxICE || g.Bytes < 0 || g.Day < 0 {
		return grants.Grant{}, false
	}
	level := policy.Default
	if g.Policy != "" {
		var err error
		if level, err = policy.ParseLevel(g.Policy); err != nil {
			return grants.Grant{}, false
		}
	}
	return grants.Grant{
		ID: id, Session: g.Session, Member: g.Member, Until: now.Add(live), NotAfter: now.Add(most),
		Policy: level, Addrs: g.Addrs, ICE: auths(g.ICE),
	}, true
}

// milliseconds is n of them, from none to maxLife.
func milliseconds(n int64) (time.Duration, bool) {
	d := time.Duration(min(max(n, 0), int64(maxLife/time.Millisecond))) * time.Millisecond
	return d, n > 0
}

func auths(list []ICE) (of []grants.ICEAuth) {
	for _, a := range list {
		if len(a.Ufrag)+len(a.Pwd) <= 2*maxText {
			of = append(of, grants.ICEAuth(a))
		}
	}
	return of
}

// Placed is the answer to a Grant: what a client needs beside its credential.
type Placed struct {
	URLs  []string `json:"urls"`
	Realm string   `json:"realm"`
}

// Changes renew and delete, and say where members signal from now.
type Changes struct {
	Renew  []Renewal `json:"renew,omitempty"`
	Delete []string  `json:"delete,omitempty"`
	Moved  []Move    `json:"moved,omitempty"`
}

// Move of a member to another address, the zero one if that is not public.
type Move struct {
	Session string     `json:"session"`
	Member  string     `json:"member"`
	Addr    netip.Addr `json:"addr"`
}

// Renewal of one grant.
type Renewal struct {
	ID   string `json:"id"`
	Live int64  `json:"live_ms"`
	ICE  []ICE  `json:"ice,omitempty"` // empty: as before
	// Bytes are what is going to be transferred, for a node that keeps its own books; 0: as before. With it,
	// Live may be 0: as before.
	Bytes int64 `json:"bytes,omitempty"`
}

// maxChanges in one request, of each kind.
const maxChanges = 2000

// Changed is the answer to Changes: which grants that were to be renewed are not there.
type Changed struct {
	Gone  []string `json:"gone,omitempty"`
	Short []string `json:"short,omitempty"` // there is less for these than what was declared
}

// Status is what a node says of itself.
type Status struct {
	Name        string   `json:"name"`
	Version     string   `json:"version"`
	URLs        []string `json:"urls"`
	Realm       string   `json:"realm"`
	Allocations int      `json:"allocations"`
	Draining    bool     `json:"draining"`
	CutOff      bool     `json:"cut_off"`
}

// report is a Status for the control plane, which answers when Hold is over, or earlier.
type report struct {
	Status
	Boot string `json:"boot"`    // of the node's process
	Hold int64  `json:"hold_ms"` // at most
}

// reported is the answer to a report.
type reported struct {
	Grace int64 `json:"grace_ms"` // within which the control plane renews what lives
}

type leaseRequest struct {
	ID   string `json:"id"`
	Want int64  `json:"want"`
}

type leased struct {
	Granted int64 `json:"granted"`
}

// settlement is numbered by the node's process, so that one that is sent again counts once.
type settlement struct {
	Boot string    `json:"boot"`
	Seq  uint64    `json:"seq"`
	List []settled `json:"list"`
}

type settled struct {
	ID        string `json:"id"`
	Delivered int64  `json:"delivered"`
	Charged   int64  `json:"charged"`
	Returned  int64  `json:"returned"`
}

// Errors that either side answers with, always wrapped.
var (
	// ErrUnknown: there is no such grant.
	ErrUnknown = errors.New("no such grant")
	// ErrSpent: a budget is.
	ErrSpent = errors.New("the budget is spent")
	// ErrShort: less of it is left than was declared. It is an ErrSpent as well.
	ErrShort = fmt.Errorf("%w: less is left than was declared", ErrSpent)
	// ErrAway: the node takes no grants: it drains, is full, or has lost its control plane.
	ErrAway = errors.New("the node takes no grants")
	// ErrDenied: the token is not known there.
	ErrDenied = errors.New("the key is not known there")
)
