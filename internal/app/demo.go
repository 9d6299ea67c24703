package app

import (
	"context"
	"net/http"
	"sync"
	"time"

	"causeway/internal/demo"
	"causeway/internal/httpx"
)

// openDemo makes the example chat, if it is to be offered, the handler of its hub.
func (a *App) openDemo(handler *lateHandler, proxies httpx.Proxies) (err error) {
	if !a.cfg.Demo {
		return nil
	}
	a.log.Warn("the example chat is on: whoever reaches this server may take part")
	a.demo, err = demo.New(demo.Config{
		Realtime:   a.hub.Service(demo.Hub),
		ICE:        a.stunServers,
		Relays:     a.grants,
		Count:      new(messageCount).add,
		Origins:    a.cfg.DemoOrigins,
		Origin:     proxies.Origin,
		ClientAddr: proxies.Client,
		Admit:      a.admitOther(proxies),
		DayBytes:   int64(a.cfg.DemoBudget),
		Logger:     a.log.With("part", "demo"),
	})
	handler.Handler = a.demo
	return err
}

// demoOr has the example chat answer what is its own, and next the rest.
func (a *App) demoOr(next http.Handler) http.Handler {
	if a.demo == nil {
		return next
	}
	return a.demo.Handler(next)
}

// messageCount counts in memory, since the start.
type messageCount struct {
	mu         sync.Mutex
	all, today int64
	day        string
}

func (c *messageCount) add(context.Context) (all, today int64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if day := time.Now().UTC().Format(time.DateOnly); day != c.day {
		c.day, c.today = day, 0
	}
	c.all, c.today = c.all+1, c.today+1
	return c.all, c.today, nil
}
