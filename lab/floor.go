package lab

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"time"
)

// Floor is what no installer can be quicker than on this machine: what its
// firmware and its installed system need by themselves.
type Floor struct {
	Firmware time.Duration // power-on until the loader has the appliance's script
	Disk     time.Duration // power-on until the installed system is on the network
}

// Total is one start of the firmware for the install, and one start of the
// installed disk.
func (f Floor) Total() time.Duration { return f.Firmware + f.Disk }

var (
	// scriptFetched is what iPXE prints of the script for its machine.
	scriptFetched = regexp.MustCompile(`/ipxe/[0-9a-f]{2}(-[0-9a-f]{2}){5}\.\.\. ok`)
	// systemRuns is what runit prints when the services start. Before that it is
	// iPXE that has the address, and answers for it.
	systemRuns = regexp.MustCompile(`runit: enter stage: /etc/runit/2`)
)

// MeasureFloor starts an installed machine once more, which must be off, and
// takes the times. address is the one that it comes up with.
func (r *Rack) MeasureFloor(ctx context.Context, name string, address netip.Addr) (Floor, error) {
	var f Floor
	before, err := os.Stat(r.ConsoleLog(name))
	if err != nil {
		return f, err
	}
	start := time.Now()
	if err := r.PowerOn(ctx, name); err != nil {
		return f, err
	}
	for f.Disk == 0 {
		text, err := os.ReadFile(r.ConsoleLog(name))
		if err != nil {
			return f, err
		}
		// The console's lines have 80 columns, whatever is in them.
		text = bytes.ReplaceAll(text[before.Size():], []byte("\r\n"), nil)
		switch {
		case f.Firmware == 0:
			if scriptFetched.Match(text) {
				f.Firmware = time.Since(start)
			}
		case systemRuns.Match(text) && r.ping(ctx, address) == nil:
			f.Disk = time.Since(start)
		}
		select {
		case <-ctx.Done():
			return f, fmt.Errorf("%s does not come up from its disk: %w; see %s", name, ctx.Err(), r.ConsoleLog(name))
		case <-time.After(50 * time.Millisecond):
		}
	}
	return f, nil
}

// ping asks an address once, from the rack's network.
func (r *Rack) ping(ctx context.Context, address netip.Addr) error {
	argv := r.Inside("ping", "-c1", "-W1", "-n", address.String())
	return run(ctx, argv[0], argv[1:]...)
}
