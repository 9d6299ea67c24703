package hub

import (
	"runtime"
	"sync"

	"causeway/internal/loop"
)

// loops read the hub's TCP connections, one loop for two processors: the other one
// has handlers and HTTP to serve. They are made when the first connection comes.
type loops struct {
	mu   sync.Mutex
	all  []*loop.Loop
	next int // whose turn it is to get a connection
	none bool
}

// loop is the one that shall read the next connection; nil if there is none: on
// some systems, when descriptors are short, and after the end.
func (h *Hub) loop() *loop.Loop {
	ls := &h.crew.loops
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for !ls.none && len(ls.all) < max(1, runtime.GOMAXPROCS(0)/2) {
		l, err := loop.New(h.spawn)
		if ls.none = err != nil || !l.Start(); !ls.none {
			ls.all = append(ls.all, l)
		}
	}
	if len(ls.all) == 0 {
		return nil
	}
	ls.next++
	return ls.all[ls.next%len(ls.all)]
}

// close ends the loops, which read nothing any more.
func (ls *loops) close() {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for _, l := range ls.all {
		l.Close()
	}
	ls.none, ls.all = true, nil
}
