//go:build linux

package relay

import (
	"context"
	"encoding/binary"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"causeway/internal/bench/measure"
	"causeway/internal/relay/udp"
)

// traffic is packets at a constant rate.
type traffic struct {
	direction Direction
	clients   []*client // take turns
	size      int       // of a payload, in bytes
	rate      float64   // packets per second, of all together
	burst     int       // packets that a client sends at once
	together  int       // clients that send at once
	duration  time.Duration
}

// counts are what became of some traffic.
type counts struct {
	sent, delivered, wrong uint64
	unsent                 uint64 // which the driver's own sockets did not take, or lost
	seconds                float64
	server, driver         time.Duration // CPU
	late                   time.Duration // how far the driver fell behind, at most
	skipped                time.Duration // how long it sent nothing, as it had fallen too far behind
}

const (
	payloadMagic = 0xCA05E3A1
	payloadHead  = 8 // the magic number and the trial
	// patience is how far the driver may fall behind and catch up. More would be a flood
	// that is not the scenario.
	patience = 5 * time.Millisecond
	// quiet is how long nothing must arrive until what is missing counts as lost.
	quiet = time.Second
)

// receiver counts what arrives on both sockets.
type receiver struct {
	fleet            *Fleet
	size             int
	trial            atomic.Uint32
	delivered, wrong atomic.Uint64
	ended            atomic.Bool
}

// run counts until ended is set and the Poller woken.
func (r *receiver) run(b *udp.Batch) error {
	for !r.ended.Load() {
		groups, err := r.fleet.poller.Wait(b)
		if err != nil {
			return err
		}
		var right, wrong uint64
		trial := r.trial.Load()
		for _, g := range groups {
			framed := g.Conn == r.fleet.conn && !r.fleet.bare
			for _, p := range g.Packets {
				switch of, ok := r.check(p.Data, framed); {
				case !ok:
					wrong++
				case of == trial:
					right++
				}
			}
		}
		r.delivered.Add(right)
		r.wrong.Add(wrong)
	}
	return nil
}

// check says of which trial a packet is, and whether it is as it was sent.
func (r *receiver) check(b []byte, framed bool) (trial uint32, ok bool) {
	if framed {
		if len(b) < 4 || binary.BigEndian.Uint16(b) != channelNumber || int(binary.BigEndian.Uint16(b[2:])) > len(b)-4 {
			return 0, false
		}
		b = b[4 : 4+binary.BigEndian.Uint16(b[2:])]
	}
	if len(b) != r.size || binary.BigEndian.Uint32(b) != payloadMagic {
		return 0, false
	}
	return binary.BigEndian.Uint32(b[4:]), true
}

// measure sends t, first for a while that does not count, and says what became of it.
// cpu is the server's.
func (f *Fleet) measure(ctx context.Context, t traffic, cpu func() (time.Duration, error)) (counts, error) {
	for _, c := range []*udp.Conn{f.conn, f.sink} {
		if err := f.poller.Add(c, nil); err != nil {
			return counts{}, err
		}
		defer f.poller.Remove(c)
	}
	r := &receiver{fleet: f, size: t.size}
	var wg sync.WaitGroup
	var receiving error
	wg.Go(func() { receiving = r.run(udp.NewBatch(udp.DefaultSlots)) })
	result, err := f.trials(ctx, t, r, cpu)
	r.ended.Store(true)
	f.poller.Wake()
	wg.Wait()
	if err == nil && receiving != nil {
		err = fmt.Errorf("receive: %w", receiving)
	}
	return result, err
}

func (f *Fleet) trials(ctx context.Context, t traffic, r *receiver, cpu func() (time.Duration, error)) (counts, error) {
	warmup := t
	warmup.duration = max(t.duration/5, 100*time.Millisecond)
	if _, err := f.trial(ctx, warmup, r, cpu); err != nil {
		return counts{}, err
	}
	return f.trial(ctx, t, r, cpu)
}

// trial sends t and waits for what is on its way.
func (f *Fleet) trial(ctx context.Context, t traffic, r *receiver, cpu func() (time.Duration, error)) (counts, error) {
	f.serial++
	r.trial.Store(f.serial)
	r.delivered.Store(0)
	r.wrong.Store(0)
	lost, err := f.overflows()
	if err != nil {
		return counts{}, err
	}
	server, err := cpu()
	if err != nil {
		return counts{}, err
	}
	driver := ownCPU()
	var wg sync.WaitGroup
	var c counts
	wg.Go(func() { c = f.send(ctx, t) })
	wg.Wait()
	for last, since := uint64(0), time.Now(); ; {
		n := r.delivered.Load()
		if n != last {
			last, since = n, time.Now()
		}
		if n >= c.sent || time.Since(since) > quiet || ctx.Err() != nil {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	after, err := cpu()
	if err != nil {
		return counts{}, err
	}
	lostAfter, err := f.overflows()
	if err != nil {
		return counts{}, err
	}
	c.server, c.driver = after-server, ownCPU()-driver
	c.delivered, c.wrong = r.delivered.Load(), r.wrong.Load()
	c.unsent += lostAfter - lost
	return c, ctx.Err()
}

// overflows is what the driver itself was too slow to receive.
func (f *Fleet) overflows() (uint64, error) {
	var sum uint64
	for _, c := range []*udp.Conn{f.conn, f.sink} {
		n, err := c.Overflows()
		if err != nil {
			return 0, err
		}
		sum += uint64(n)
	}
	return sum, nil
}

// send sends t by the clock, on a thread of its own: the runtime's timers are too
// coarse for it.
func (f *Fleet) send(ctx context.Context, t traffic) counts {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) // ns; without it packets leave in small bursts
	body := make([]byte, t.size)
	binary.BigEndian.PutUint32(body, payloadMagic)
	binary.BigEndian.PutUint32(body[4:], f.serial)
	for i := payloadHead; i < len(body); i++ {
		body[i] = byte(i)
	}
	head := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, channelNumber), uint16(t.size))
	if f.bare {
		head = nil
	}
	w := udp.NewWriter()
	var c counts
	interval := time.Duration(float64(t.burst*t.together) / t.rate * float64(time.Second))
	begin, next := time.Now(), 0
	for due := time.Duration(0); due < t.duration && ctx.Err() == nil; due += interval {
		if ahead := due - time.Since(begin); ahead > 0 {
			pause(ahead)
		} else {
			c.late = max(c.late, -ahead)
			if -ahead > patience { // others had the CPU; what is missed is not made up for
				begin = begin.Add(-ahead)
				c.skipped += -ahead
			}
		}
		for range t.together {
			cl := t.clients[next%len(t.clients)]
			next++
			for range t.burst {
				if t.direction == Down {
					w.Send(f.sink, cl.relayed, cl.peer.Addr(), nil, body)
				} else {
					w.Send(f.conn, f.server, cl.source, head, body)
				}
			}
		}
		sent, _ := w.Flush() // what was dropped is counted
		c.sent += uint64(sent)
	}
	c.seconds = (time.Since(begin) + c.skipped).Seconds()
	for _, n := range w.Dropped() {
		c.unsent += n
	}
	return c
}

// pause sleeps in the kernel.
func pause(d time.Duration) {
	ts := unix.NsecToTimespec(int64(d))
	_ = unix.Nanosleep(&ts, nil) // woken by a signal, it is early once
}

// ownCPU is the CPU time of this process.
func ownCPU() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil { // it cannot fail
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// newMeasurement works out the figures of c.
func newMeasurement(sc Scenario, p Path, of Subject, round int, t traffic, c counts) Measurement {
	m := Measurement{Scenario: sc, Path: p, Direction: t.direction, Subject: of, Round: round, Allocations: len(t.clients), Size: t.size,
		TargetRate: t.rate, Rate: measure.Rounded(float64(c.sent)/max(c.seconds, 1e-9), 0), Sent: c.sent, Delivered: c.delivered, DriverDropped: c.unsent, Seconds: measure.Rounded(c.seconds, 3),
		DriverLate: measure.Rounded(float64(c.late)/float64(time.Millisecond), 2)}
	if sc == Hairpin {
		m.Allocations *= 2
	}
	if c.sent > 0 {
		m.Lost = measure.Rounded(1-float64(c.delivered)/float64(c.sent), 5)
	}
	if c.delivered > 0 {
		each := c.server.Seconds() / float64(c.delivered)
		m.CPU = measure.Rounded(each*1e6, 3)
		m.CPUGiB = measure.Rounded(each/float64(t.size)*(1<<30), 3)
	}
	if c.seconds > 0 {
		m.ServerBusy = measure.Rounded(c.server.Seconds()/c.seconds, 3)
		m.DriverBusy = measure.Rounded(c.driver.Seconds()/c.seconds, 3)
	}
	return m
}

// pairUp makes pairs of clients each other's peers, and returns the first of each.
func pairUp(clients []*client) []*client {
	var firsts []*client
	for i := 0; i+1 < len(clients); i += 2 {
		a, b := clients[i], clients[i+1]
		a.peer, b.peer = b.relayed, a.relayed
		firsts = append(firsts, a)
	}
	return firsts
}
