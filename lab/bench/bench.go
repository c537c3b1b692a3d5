package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"provision.internal/dhcp/dhcptest"
)

// Options say what is measured. Provision and Log must be set.
type Options struct {
	Provision string // our daemon's binary
	Runs      int    // of each case with each server; zero means 3
	Only      string // part of the names of the cases to run; empty means all
	Quick     bool   // tiny loads: shows that all works, measures little
	Log       *slog.Logger
}

// loadLimit bounds one load against one server. ISC dhcpd and dnsmasq need most of it.
const loadLimit = 2 * time.Minute

// bootFiles are what TFTP and HTTP serve.
type bootFiles struct {
	dir      string
	loader   []byte
	packages []webFile
}

// Run measures everything and leaves nothing behind. A server that is not installed, does
// not start or fails under its load has a row that says so; an error means that
// nothing could be measured.
func Run(ctx context.Context, o Options) (*Report, error) {
	s := full
	if o.Quick {
		s = quick
	}
	if o.Runs == 0 {
		o.Runs = 3
	}
	program, err := filepath.Abs(o.Provision)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(program); err != nil {
		return nil, fmt.Errorf("our daemon: %w; run make build", err)
	}
	dir, err := os.MkdirTemp("", "bench-peers-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	// Servers that drop their privileges must still get in.
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	boot, err := makeBootFiles(filepath.Join(dir, "boot"), s)
	if err != nil {
		return nil, err
	}
	if strings.Contains(s.installCase(), o.Only) {
		if boot.packages, err = makePackages(ctx, boot.dir, s.packages); err != nil {
			return nil, fmt.Errorf("make packages: %w", err)
		}
	}
	cable, err := dhcptest.NewCable("bench", netip.MustParsePrefix(serverEnd))
	if err != nil {
		return nil, err
	}
	defer func() {
		if err := cable.Remove(); err != nil {
			o.Log.Error("namespaces remain: remove them with ip netns del", "server", cable.Server, "client", cable.Client, "err", err)
		}
	}()
	if err := dhcptest.IP("-n", cable.Client, "address", "add", clientEnd, "dev", dhcptest.ClientDevice); err != nil {
		return nil, err
	}

	r := &Report{Machine: thisMachine()}
	for _, c := range cases(s, program) {
		if !strings.Contains(c.name, o.Only) {
			continue
		}
		table := &table{name: c.name}
		for run := range o.Runs {
			for _, srv := range c.servers {
				if err := ctx.Err(); err != nil {
					return nil, err
				}
				o.Log.Info("measuring", "case", c.name, "server", srv.name, "run", run+1, "of", o.Runs)
				samples, err := once(ctx, c, srv, cable, boot, filepath.Join(dir, "state"), s.settle)
				table.add(srv.name, samples, err)
			}
		}
		r.Rows = append(r.Rows, table.rows...)
	}
	if len(r.Rows) == 0 {
		return nil, fmt.Errorf("no case is called %q", o.Only)
	}
	r.compare()
	if !o.Quick {
		r.judge(goals(s))
	}
	return r, nil
}

// once starts a server with an empty state, loads it, and stops it.
func once(ctx context.Context, c benchCase, srv server, cable dhcptest.Cable, boot *bootFiles, dir string, settle time.Duration) (out []sample, err error) {
	program, err := locate(srv.program)
	if err != nil {
		return nil, fmt.Errorf("%w: make peers installs %s", err, srv.pack)
	}
	if err := errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o755)); err != nil {
		return nil, err
	}
	args, env, err := srv.configure(dir, boot.dir)
	if err != nil {
		return nil, err
	}
	p, err := start(cable.Server, dir, env, program, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	took, err := await(ctx, p, cable.Client, c.ready)
	if err != nil {
		return nil, err
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(settle):
	}
	ctx, cancel := context.WithTimeout(ctx, loadLimit)
	defer cancel()
	return c.load(ctx, &lane{cable: cable, process: p, forks: srv.forks, start: took, boot: boot})
}

// table collects the rows of one case, grouped by measure.
type table struct {
	name string
	rows []Row
}

// add takes one run of a server. A failure is noted once, in the server's first row.
func (t *table) add(server string, samples []sample, err error) {
	for _, s := range samples {
		row := t.row(s.measure, server)
		row.Unit, row.Lower = s.unit, s.lower
		row.Values = append(row.Values, s.value)
	}
	if err == nil {
		return
	}
	i := slices.IndexFunc(t.rows, func(r Row) bool { return r.Server == server })
	if i < 0 {
		measure := "–"
		if len(t.rows) > 0 {
			measure = t.rows[0].Measure
		}
		t.row(measure, server)
		i = slices.IndexFunc(t.rows, func(r Row) bool { return r.Server == server })
	}
	t.rows[i].Note = err.Error()
}

// row gives a server's row for a measure, made behind the measure's others.
func (t *table) row(measure, server string) *Row {
	at := len(t.rows)
	var like Row
	for i := range t.rows {
		if t.rows[i].Measure != measure {
			continue
		}
		if t.rows[i].Server == server {
			return &t.rows[i]
		}
		at, like = i+1, t.rows[i]
	}
	t.rows = slices.Insert(t.rows, at, Row{Case: t.name, Measure: measure, Server: server, Unit: like.Unit, Lower: like.Lower})
	return &t.rows[at]
}

// makeBootFiles writes files that no disk or link can make smaller.
func makeBootFiles(dir string, s scale) (*bootFiles, error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	noise := rand.NewChaCha8([32]byte{})
	loader, large := make([]byte, s.loader), make([]byte, s.large)
	noise.Read(loader)
	noise.Read(large)
	return &bootFiles{dir: dir, loader: loader}, errors.Join(
		os.WriteFile(filepath.Join(dir, loaderFile), loader, 0o644),
		os.WriteFile(filepath.Join(dir, largeFile), large, 0o644),
	)
}

// thisMachine describes where this runs, as far as it can be told.
func thisMachine() Machine {
	m := Machine{Processors: runtime.NumCPU()}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		fmt.Sscan(string(text), &m.Load)
	}
	return m
}
