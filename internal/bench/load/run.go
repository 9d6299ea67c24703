//go:build linux

package load

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// Load says what a run sends.
type Load struct {
	Kind Kind
	Size int // of the payload in bytes
	// Rate is messages per second of all senders. 0 saturates: InFlight messages
	// are on their way at any time, and each that has arrived everywhere makes the
	// next one be sent.
	Rate     float64
	InFlight int
	// Batch is how many messages a sender writes at once when saturating; 0 is 1.
	Batch int
	Fan   int     // how many connections receive each message
	From  []*Conn // send in turn
	To    []*Conn // are addressed in turn, by kinds that address somebody
	// Warmup comes before Duration; only the latter is measured.
	Warmup, Duration time.Duration
	// Sample returns the server's CPU time so far. It is called at the beginning
	// and at the end of what is measured.
	Sample func() (time.Duration, error)
}

// Result is what was measured.
type Result struct {
	Sent      uint64        // messages, while measuring
	Delivered uint64        // deliveries, while measuring: Fan for each message
	Lost      int64         // deliveries that never came, of all that was sent
	Failed    int           // connections that ended
	Elapsed   time.Duration // that was measured
	CPU       time.Duration // of the server, in it
	Driver    time.Duration // CPU time of this process, in it
	Late      time.Duration // by which the driver sent a message too late, at most
	Latency   Histogram     // from due to delivery
}

// MessagesPerSecond is the rate at which messages were delivered to all their
// recipients.
func (r *Result) MessagesPerSecond(fan int) float64 {
	return float64(r.Delivered) / float64(fan) / r.Elapsed.Seconds()
}

// CPUPerDelivery is the server's CPU time for one recipient of one message.
func (r *Result) CPUPerDelivery() time.Duration {
	if r.Delivered == 0 {
		return 0
	}
	return r.CPU / time.Duration(r.Delivered)
}

// drain is how long a run waits for deliveries once none comes any more.
const drain = 2 * time.Second

// burst is how many messages are sent before the loop reads again.
const burst = 64

// run is the state of one Run.
type run struct {
	*Load
	l       *Loop
	result  *Result
	payload []byte
	base    int64 // when the first message is due
	begin   int64 // of measuring; 0 before it
	sent    uint64
	arrived uint64
	ended   bool
	from    int
	to      int
}

// Run sends what load says, and measures.
func (l *Loop) Run(ctx context.Context, load Load) (*Result, error) {
	if len(load.From) == 0 || load.Fan < 1 || load.Rate == 0 && load.InFlight < 1 {
		return nil, errors.New("nothing to send")
	}
	if err := l.round(ctx); err != nil {
		return nil, err
	}
	load.Batch = max(load.Batch, 1)
	r := &run{Load: &load, l: l, result: &Result{}, payload: newPayload(load.Size), base: l.now}
	l.received = r.received
	defer func() { l.received = func(*Conn, int64) {} }()
	failed := l.Failed
	if load.Rate == 0 {
		for range max(load.InFlight/load.Batch, 1) {
			r.send(l.now, load.Batch)
		}
	}
	for !r.ended {
		if err := l.round(ctx); err != nil {
			return nil, err
		}
		if load.Rate > 0 {
			r.pace()
		}
		if err := r.phase(); err != nil {
			return nil, err
		}
		if l.alive == 0 {
			return nil, l.firstErr
		}
	}
	if err := r.drain(ctx); err != nil {
		return nil, err
	}
	r.result.Lost = int64(r.sent)*int64(load.Fan) - int64(r.arrived)
	r.result.Failed = l.Failed - failed
	return r.result, nil
}

// pace sends what is due.
func (r *run) pace() {
	interval := float64(time.Second) / r.Rate
	for range burst {
		due := r.base + int64(float64(r.sent)*interval)
		if due > r.l.now {
			return
		}
		if !r.send(due, 1) {
			return
		}
		if r.begin > 0 {
			r.result.Late = max(r.result.Late, time.Duration(r.l.now-due))
		}
	}
}

// send sends n messages from the next sender that can. It returns false if none can.
func (r *run) send(due int64, n int) bool {
	for range r.From {
		c := r.From[r.from]
		r.from = (r.from + 1) % len(r.From)
		if !c.open || c.busy {
			continue
		}
		to := c
		if len(r.To) > 0 {
			to = r.To[r.to]
			r.to = (r.to + 1) % len(r.To)
		}
		r.l.say(c, r.Kind, to, r.payload, due, n)
		r.sent += uint64(n)
		return true
	}
	return false
}

// received counts a delivery. If the run saturates, messages that have arrived
// everywhere make others be sent.
func (r *run) received(_ *Conn, due int64) {
	r.arrived++
	now := int64(time.Since(r.l.start))
	if r.begin > 0 && due >= r.begin {
		r.result.Latency.Add(time.Duration(now - due))
	}
	if r.Rate == 0 && !r.ended && r.arrived%uint64(r.Fan*r.Batch) == 0 {
		r.send(now, r.Batch)
	}
}

// phase begins and ends what is measured.
func (r *run) phase() error {
	elapsed := time.Duration(r.l.now - r.base)
	switch {
	case r.begin == 0 && elapsed >= r.Warmup:
		r.begin = r.l.now
	case r.begin > 0 && time.Duration(r.l.now-r.begin) >= r.Duration:
		r.ended = true
	default:
		return nil
	}
	cpu, err := r.Sample()
	if err != nil {
		return err
	}
	s := r.result
	if !r.ended {
		s.CPU, s.Driver, s.Sent, s.Delivered = -cpu, -ownCPU(), -r.sent, -r.arrived
		return nil
	}
	s.CPU += cpu
	s.Driver += ownCPU()
	s.Sent += r.sent // modulo 2^64, as above
	s.Delivered += r.arrived
	s.Elapsed = time.Duration(r.l.now - r.begin)
	return nil
}

// drain waits for what is still on its way.
func (r *run) drain(ctx context.Context) error {
	arrived, at := r.arrived, time.Now()
	for r.arrived < r.sent*uint64(r.Fan) && time.Since(at) < drain {
		if err := r.l.round(ctx); err != nil {
			return err
		}
		if r.arrived != arrived {
			arrived, at = r.arrived, time.Now()
		}
	}
	return nil
}

// stamps tells of every stamp in message. A frame may hold several messages.
func (l *Loop) stamps(c *Conn, message []byte) {
	for len(message) >= stampSize {
		due, rest, ok := cutStamp(message)
		if !ok {
			return
		}
		l.received(c, due)
		message = rest
	}
}

// Prepare makes each of from say kind once, to the connection at the same index of
// to, at most some thousands a second, and gives the server time to do it.
func (l *Loop) Prepare(ctx context.Context, kind Kind, from, to []*Conn) error {
	payload := newPayload(0)
	for i, c := range from {
		l.say(c, kind, to[i], payload, 0, 1)
		if i%burst == burst-1 {
			if err := l.Wait(ctx, 10*time.Millisecond); err != nil {
				return err
			}
		}
	}
	return l.Wait(ctx, 500*time.Millisecond)
}

// ownCPU is the CPU time of this process.
func ownCPU() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
