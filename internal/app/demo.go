package app

import (
	"context"
	"net/http"
	"sync"
	"time"

	"causeway/internal/demo"
	"causeway/internal/grant/shared"
	"causeway/internal/guard"
	"causeway/internal/httpx"
	"causeway/internal/stats"
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
		Rates:      shared.NewMemory(),
		Count:      a.stats.demoMessages(false).add,
		Refused:    a.stats.Refused,
		Origins:    a.cfg.DemoOrigins,
		Origin:     proxies.Origin,
		ClientAddr: proxies.Client,
		Admit:      admitOther(func() *guard.Guard { return a.guard }, proxies.Client),
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

// demoMessages is how the example chat's messages are counted; together says that other processes have
// their part of them, which is not to be missed.
func (s *statistics) demoMessages(together bool) *messageCount {
	c := &messageCount{recorder: s.Recorder, together: together}
	if s.db != nil {
		c.store = stats.NewStore(s.db)
	}
	return c
}

// messageCount counts messages in the statistics, and knows how many there were: those that are
// stored, looked up now and then, as other processes may count as well, and its own since. What
// it says never goes back, and misses of others' what they counted last. If they count together, each
// message is stored at once, and those of this hour are looked up with each.
type messageCount struct {
	recorder *stats.Recorder
	store    *stats.Store // nil: since the start
	together bool

	mu         sync.Mutex
	all, today int64 // together: before this hour
	day        time.Time
	hour       time.Time // together: this one
	looked     time.Time
}

// recountEvery is how often the stored counts are looked up at most.
const recountEvery = 15 * time.Second

func (c *messageCount) add(ctx context.Context) (all, today int64, err error) {
	c.recorder.Add(stats.DemoMessages, 1)
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now().UTC()
	if c.together && c.store != nil {
		return c.ofAll(ctx, now)
	}
	if day := now.Truncate(24 * time.Hour); !day.Equal(c.day) {
		c.day, c.today, c.looked = day, 0, time.Time{}
	}
	c.all, c.today = c.all+1, c.today+1
	if c.store == nil || now.Sub(c.looked) < recountEvery {
		return c.all, c.today, nil
	}
	first := c.looked.IsZero()
	c.looked = now
	for _, t := range []struct {
		n    *int64
		from time.Time
	}{{&c.all, time.Unix(0, 0)}, {&c.today, c.day}} {
		stored, err := c.store.Total(ctx, stats.DemoMessages, t.from)
		if err != nil {
			return c.all, c.today, err
		}
		if first && *t.n == 1 { // this one is not stored yet
			stored++
		}
		*t.n = max(*t.n, stored)
	}
	return c.all, c.today, nil
}

// ofAll stores what was counted here, and adds up what all have stored.
func (c *messageCount) ofAll(ctx context.Context, now time.Time) (all, today int64, err error) {
	if err := c.recorder.Flush(ctx); err != nil {
		return 0, 0, err
	}
	hour, day := now.Truncate(time.Hour), now.Truncate(24*time.Hour)
	recent, err := c.store.Total(ctx, stats.DemoMessages, hour)
	if err != nil {
		return 0, 0, err
	}
	if !hour.Equal(c.hour) || now.Sub(c.looked) >= recountEvery {
		for _, t := range []struct {
			n    *int64
			from time.Time
		}{{&all, time.Unix(0, 0)}, {&today, day}} {
			if *t.n, err = c.store.Total(ctx, stats.DemoMessages, t.from); err != nil {
				return 0, 0, err
			}
		}
		c.all, c.today, c.hour, c.looked = all-recent, today-recent, hour, now
	}
	return c.all + recent, c.today + recent, nil
}
