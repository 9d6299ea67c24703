package acceptance

import (
	"os"
	"testing"
	"time"

	"github.com/pion/ice/v4"
)

// restartAfter is how long a page waits when its network has gone quiet, until it restarts ICE (web/lib/link.ts).
const restartAfter = 3 * time.Second

// BenchmarkFailover measures how long no packet arrives when the relay of a call goes away: killed, with the restart that the
// control plane pushes; killed, when only ICE notices; drained.
func BenchmarkFailover(b *testing.B) {
	for name, run := range map[string]func(b *testing.B, c *cluster, call *call){
		"killed/pushed": func(b *testing.B, c *cluster, call *call) {
			kill(b, c)
			moves(b, c, call)
		},
		"killed/timeout": func(b *testing.B, c *cluster, call *call) {
			quiet := make(chan struct{}, 8)
			if err := call.agent.OnConnectionStateChange(func(s ice.ConnectionState) {
				if s == ice.ConnectionStateDisconnected || s == ice.ConnectionStateFailed {
					quiet <- struct{}{}
				}
			}); err != nil {
				b.Fatal(err)
			}
			kill(b, c)
			<-quiet
			<-time.After(restartAfter)
			if err := call.connect(call.ask("")); err != nil {
				b.Fatal(err)
			}
		},
		"drained": func(b *testing.B, c *cluster, call *call) {
			if err := c.nodes[0].cmd.Process.Signal(os.Interrupt); err != nil {
				b.Fatal(err)
			}
			moves(b, c, call)
		},
	} {
		b.Run(name, func(b *testing.B) {
			var total time.Duration
			for b.Loop() {
				b.StopTimer()
				c := newCluster(b, 2)
				call := established(b, c)
				stop := call.watch()
				b.StartTimer()
				run(b, c, call)
				if err := call.flows(10, 20*time.Second); err != nil {
					b.Fatal(err)
				}
				total += stop()
			}
			b.ReportMetric(total.Seconds()/float64(b.N), "s-without-media/op")
			b.ReportMetric(0, "ns/op") // says nothing
		})
	}
}

func kill(b *testing.B, c *cluster) {
	b.Helper()
	if err := c.nodes[0].cmd.Process.Kill(); err != nil {
		b.Fatal(err)
	}
}

// watch sends all the time, and returns, when it is stopped, the longest time in which nothing was heard.
func (c *call) watch() (stop func() time.Duration) {
	end, longest := make(chan struct{}), make(chan time.Duration)
	go func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		heard, last, most := c.heard.Load(), time.Now(), time.Duration(0)
		for {
			select {
			case now := <-tick.C:
				_, _ = c.link.Load().Write([]byte("packet")) // what fails is not heard
				if n := c.heard.Load(); n != heard {
					heard, last, most = n, now, max(most, now.Sub(last))
				}
			case <-end:
				longest <- most
				return
			}
		}
	}()
	return func() time.Duration {
		close(end)
		return <-longest
	}
}
