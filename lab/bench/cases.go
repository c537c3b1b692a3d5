package bench

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"provision.internal/dhcp/dhcptest"
)

// A benchCase is one load and the servers that bear it.
type benchCase struct {
	name    string
	servers []server
	ready   probe
	// load runs against a server that is ready and gives its measures in the order of the table.
	// With an error it may still give some.
	load func(ctx context.Context, l *lane) ([]sample, error)
}

// lane is what a load needs to know of the server under it.
type lane struct {
	cable   dhcptest.Cable
	process *process
	forks   bool
	start   time.Duration // from the program's start to its first answer
	boot    *bootFiles
}

// sample is one value of one measure.
type sample struct {
	measure, unit string
	value         float64
	lower         bool
}

// scale is how large the loads are.
type scale struct {
	storm, closed      int // machines
	clients            [3]int
	singles            int           // repetitions of the transfers of one client
	loader, large      int           // bytes
	settle             time.Duration // until a server has done what it does at its start
	httpSmall, httpBig int           // repetitions with many clients
	installs, packages int           // machines that install, and what each of them installs
}

var (
	full = scale{
		storm: 1000, closed: 4000, clients: [3]int{1, 50, 1000}, singles: 40, loader: 1 << 20, large: 64 << 20,
		settle: time.Second, httpSmall: 3, httpBig: 2, installs: 50, packages: 300,
	}
	// quick shows that everything works; its figures mean little.
	quick = scale{
		storm: 20, closed: 50, clients: [3]int{1, 3, 10}, singles: 2, loader: 100_000, large: 1 << 20,
		settle: 100 * time.Millisecond, httpSmall: 1, httpBig: 1, installs: 3, packages: 10,
	}
)

// cases lists everything that is measured.
func cases(s scale, program string) []benchCase {
	own := provision(program)
	addresses := []server{own, kea(), iscDHCP(), dnsmasq("dhcp")}
	loaders := []server{own, dnsmasq("tftp"), tftpHPA()}
	pages := []server{own, nginx()}
	all := []benchCase{
		{"daemon", []server{own}, dhcpAnswers, func(_ context.Context, l *lane) ([]sample, error) { return l.idle() }},
		{fmt.Sprintf("DHCP, %d at one instant", s.storm), addresses, dhcpAnswers, func(ctx context.Context, l *lane) ([]sample, error) {
			return l.storm(ctx, s.storm)
		}},
		{"DHCP, 16 in flight", addresses, dhcpAnswers, func(ctx context.Context, l *lane) ([]sample, error) {
			return l.closedLoop(ctx, s.closed)
		}},
	}
	for i, n := range s.clients {
		repeat := []int{s.singles, 4, 1}[i]
		all = append(all, benchCase{
			fmt.Sprintf("TFTP, %s by %d", size(s.loader), n), loaders, tftpAnswers,
			func(ctx context.Context, l *lane) ([]sample, error) { return l.tftp(ctx, n, repeat) },
		})
	}
	for i, n := range s.clients {
		path, bytes, repeat := largeFile, s.large, []int{s.singles, s.httpBig, 0}[i]
		if i == 2 {
			path, bytes, repeat = loaderFile, s.loader, s.httpSmall
		}
		all = append(all, benchCase{
			fmt.Sprintf("HTTP, %s by %d", size(bytes), n), pages, httpAnswers,
			func(ctx context.Context, l *lane) ([]sample, error) { return l.http(ctx, path, bytes, n, repeat) },
		})
	}
	return append(all, benchCase{s.installCase(), []server{packageMirror(program), nginx()}, httpAnswers, func(ctx context.Context, l *lane) ([]sample, error) {
		return l.packages(ctx, l.boot.packages, s.installs)
	}})
}

func (s scale) installCase() string {
	return fmt.Sprintf("packages, %d by %d", s.packages, s.installs)
}

// goal is a promise about a measure: of ours, or of the ratio beside a peer.
type goal struct {
	name, measure, beside string
	limit                 float64
}

// goals are what the project has promised, for the full scale.
func goals(s scale) []goal {
	storm := fmt.Sprintf("DHCP, %d at one instant", s.storm)
	return []goal{
		{"daemon", "first DHCP answer", "", 300},
		{"daemon", "idle memory", "", 60},
		{storm, "p99", "", 50},
		{storm, "retransmissions", "", 0},
		{"DHCP, 16 in flight", "exchanges", "kea", 2},
		{fmt.Sprintf("TFTP, %s by %d", size(s.loader), s.clients[1]), "rate", "dnsmasq", 0.8},
		{fmt.Sprintf("TFTP, %s by %d", size(s.loader), s.clients[2]), "rate", "dnsmasq", 0.8},
		{s.installCase(), "rate", "nginx", 0.9},
	}
}

// size shows a file's size as the tables call it.
func size(n int) string {
	if n>>20<<20 == n {
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d bytes", n)
}

// idle is what the daemon costs when nobody wants anything.
func (l *lane) idle() ([]sample, error) {
	bytes, err := l.process.rss()
	return []sample{
		{"first DHCP answer", "ms after its start", float64(l.start.Microseconds()) / 1e3, true},
		{"idle memory", "MB", float64(bytes) / 1e6, true},
	}, err
}

func (l *lane) storm(ctx context.Context, machines int) ([]sample, error) {
	// Three messages of a kind at most, 28 s: who needs more is counted, not waited for.
	r, _, err := l.dhcp(ctx, dhcptest.Load{InFlight: machines, Count: machines, Tries: 3})
	out := []sample{
		{"p50", "ms", float64(r.P50.Microseconds()) / 1e3, true},
		{"p99", "ms", float64(r.P99.Microseconds()) / 1e3, true},
		{"retransmissions", "packets", float64(r.Retransmissions), true},
	}
	return out, firstOf(err, complete(r, machines))
}

func (l *lane) closedLoop(ctx context.Context, exchanges int) ([]sample, error) {
	r, cpu, err := l.dhcp(ctx, dhcptest.Load{System: true, InFlight: 16, Count: exchanges, Timeout: time.Second})
	out := []sample{
		{"exchanges", "1/s", r.Rate, false},
		{"processor time", "µs each", float64(cpu.Microseconds()) / float64(max(r.Done, 1)), true},
	}
	return out, firstOf(err, complete(r, exchanges))
}

// dhcp runs a load and gives the processor time that it cost the server.
func (l *lane) dhcp(ctx context.Context, load dhcptest.Load) (r dhcptest.Result, used time.Duration, err error) {
	load.Interface = dhcptest.ClientDevice
	// The first machine's number is above those that asked whether the server is up.
	load.First = 1 << 20
	used, err = l.cost(func() error {
		return dhcptest.Inside(l.cable.Client, func() (err error) {
			r, err = load.Run(ctx)
			return err
		})
	})
	return r, used, err
}

// complete says what was wrong with a load's answers.
func complete(r dhcptest.Result, want int) error {
	if r.Done == want && r.Duplicates == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d served, %d gave up, %d refused, %d addresses given twice", r.Done, want, r.GaveUp, r.Refused, r.Duplicates)
}

func (l *lane) tftp(ctx context.Context, clients, repeat int) ([]sample, error) {
	load := tftpLoad{
		Server: netip.MustParseAddrPort(serverAddress + ":69"), File: loaderFile, Want: l.boot.loader,
		Block: 1468, Clients: clients, Repeat: repeat,
	}
	return l.transfer(func() (transferred, error) { return load.run(ctx, l.cable.Client) })
}

func (l *lane) http(ctx context.Context, file string, bytes, clients, repeat int) ([]sample, error) {
	load := httpLoad{
		Server: netip.MustParseAddrPort(serverAddress + ":80"), Files: []webFile{{"/nbp/" + file, int64(bytes)}},
		Clients: clients, Repeat: repeat,
	}
	return l.transfer(func() (transferred, error) { return load.run(ctx, l.cable.Client) })
}

// transfer turns what was moved into samples.
func (l *lane) transfer(run func() (transferred, error)) ([]sample, error) {
	var t transferred
	used, err := l.cost(func() (err error) {
		t, err = run()
		return err
	})
	if t.Took == 0 {
		return nil, err
	}
	out := []sample{{"rate", "MB/s", t.MBps(), false}}
	if err == nil && !l.forks {
		out = append(out, sample{"processor time", "s per GB", used.Seconds() / (float64(t.Bytes) / 1e9), true})
	}
	return out, err
}

// cost is the server's processor time during run.
func (l *lane) cost(run func() error) (time.Duration, error) {
	before, err := l.process.cpu()
	if err != nil {
		return 0, err
	}
	if err := run(); err != nil {
		return 0, err
	}
	after, err := l.process.cpu()
	return after - before, err
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
