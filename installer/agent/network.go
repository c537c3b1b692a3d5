package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"

	"provision.internal/host"
)

// network brings up the interface that the machine booted from.
type network struct {
	sys  *System
	log  *Log
	boot host.MAC  // provision.mac of the kernel command line; zero: not told
	uuid host.UUID // sent as option 97, by which the appliance confirms the machine
}

// bound is an interface with its lease.
type bound struct {
	nic   nic
	lease *nclient4.Lease
}

type nic struct {
	name  string
	index int
	mac   host.MAC
}

// How long the NIC of the kernel command line may take to appear before every
// other one is tried too, and how often sysfs is looked at for new ones.
const (
	bootNICWait = 20 * time.Second
	nicPoll     = 20 * time.Millisecond
)

// up asks every wanted NIC for a lease as soon as its driver shows it, and
// configures the first that gets one.
func (n *network) up(ctx context.Context) (*bound, error) {
	ctx, cancel := context.WithCancel(ctx)
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel()
	won := make(chan *bound)
	tried := map[string]bool{}
	for waited := time.Duration(0); ; waited += nicPoll {
		for _, c := range n.nics() {
			if tried[c.name] || !n.boot.IsZero() && c.mac != n.boot && waited < bootNICWait {
				continue
			}
			tried[c.name] = true
			asking.Go(func() {
				lease, err := n.ask(ctx, c)
				if err != nil {
					if ctx.Err() == nil {
						n.log.Say("%s (%s): %v", c.name, c.mac, err)
					}
					return
				}
				select {
				case won <- &bound{c, lease}:
				case <-ctx.Done():
				}
			})
		}
		select {
		case b := <-won:
			return b, n.configure(b)
		case <-time.After(nicPoll):
		case <-ctx.Done():
			if len(tried) == 0 {
				return nil, errors.New("no network card was found: the installer's image lacks its driver")
			}
			return nil, fmt.Errorf("no DHCP answer on %d network cards: %w", len(tried), context.Cause(ctx))
		}
	}
}

// nics lists the Ethernet interfaces that belong to a device.
func (n *network) nics() []nic {
	entries, _ := os.ReadDir(n.sys.path("/sys/class/net")) // no sysfs, no NICs
	var found []nic
	for _, e := range entries {
		dir := "/sys/class/net/" + e.Name()
		if _, err := os.Stat(n.sys.path(dir, "device")); err != nil || n.sys.read(dir, "type") != "1" {
			continue
		}
		mac, err := host.ParseMAC(n.sys.read(dir, "address"))
		if err != nil || mac.IsZero() {
			continue
		}
		var index int
		if _, err := fmt.Sscan(n.sys.read(dir, "ifindex"), &index); err != nil {
			continue
		}
		found = append(found, nic{e.Name(), index, mac})
	}
	return found
}

// ask sets c up, waits for its link, and asks for a lease until there is one.
func (n *network) ask(ctx context.Context, c nic) (*nclient4.Lease, error) {
	if err := linkUp(c.index); err != nil {
		return nil, fmt.Errorf("set the link up: %w", err)
	}
	for n.sys.read("/sys/class/net", c.name, "carrier") != "1" {
		if err := wait(ctx, nicPoll); err != nil {
			return nil, err
		}
	}
	for {
		lease, err := n.exchange(ctx, c, func(client *nclient4.Client) (*nclient4.Lease, error) {
			return client.Request(ctx, n.options)
		})
		if err == nil || ctx.Err() != nil {
			return lease, err
		}
		n.log.Say("%s (%s): no lease yet: %v", c.name, c.mac, err)
		if err := wait(ctx, time.Second); err != nil {
			return nil, err
		}
	}
}

// exchange opens a socket for one exchange only: an open one would be handed
// every packet of the install.
func (n *network) exchange(ctx context.Context, c nic, f func(*nclient4.Client) (*nclient4.Lease, error)) (*nclient4.Lease, error) {
	client, err := nclient4.New(c.name, nclient4.WithHWAddr(c.mac[:]),
		nclient4.WithTimeout(time.Second), nclient4.WithRetry(4)) // 1, 2, 4, 8 s
	if err != nil {
		return nil, fmt.Errorf("open a DHCP socket: %w", err)
	}
	defer client.Close()
	return f(client)
}

// options adds to a DHCP message who the machine is.
func (n *network) options(d *dhcpv4.DHCPv4) {
	d.UpdateOption(dhcpv4.OptClassIdentifier("provision-agent"))
	if !n.uuid.IsZero() {
		d.UpdateOption(dhcpv4.OptGeneric(dhcpv4.OptionClientMachineIdentifier, append([]byte{0}, n.uuid[:]...)))
	}
}

// configure sets the leased address and the way out.
func (n *network) configure(b *bound) error {
	ack := b.lease.ACK
	addr, ok := netip.AddrFromSlice(ack.YourIPAddr.To4())
	bits, _ := net.IPMask(ack.SubnetMask()).Size()
	if !ok || bits == 0 {
		return fmt.Errorf("the DHCP answer has no address or no subnet mask: %s", ack.Summary())
	}
	if err := addAddress(b.nic.index, netip.PrefixFrom(addr, bits)); err != nil {
		return fmt.Errorf("set the address %s on %s: %w", addr, b.nic.name, err)
	}
	for _, router := range ack.Router() {
		gateway, ok := netip.AddrFromSlice(router.To4())
		if !ok {
			continue
		}
		if err := addDefaultRoute(b.nic.index, gateway); err != nil {
			return fmt.Errorf("set the gateway %s on %s: %w", gateway, b.nic.name, err)
		}
		break
	}
	n.log.Say("%s (%s) has %s/%d", b.nic.name, b.nic.mac, addr, bits)
	return nil
}

// keep renews the lease at half of its time until ctx ends: an install with a
// slow mirror may outlast it.
func (n *network) keep(ctx context.Context, b *bound) {
	pause := b.lease.ACK.IPAddressLeaseTime(time.Hour) / 2
	for {
		if wait(ctx, max(pause, 10*time.Second)) != nil {
			return
		}
		lease, err := n.exchange(ctx, b.nic, func(client *nclient4.Client) (*nclient4.Lease, error) {
			return client.Renew(ctx, b.lease, n.options)
		})
		if err != nil {
			if ctx.Err() == nil {
				n.log.Say("%s: the lease was not renewed: %v", b.nic.name, err)
			}
			pause /= 4
			continue
		}
		b.lease = lease
		pause = lease.ACK.IPAddressLeaseTime(time.Hour) / 2
	}
}

// commandLine reads the parameters of the kernel command line that are ours.
func commandLine(text string) (mac host.MAC) {
	for _, word := range strings.Fields(text) {
		if v, ok := strings.CutPrefix(word, "provision.mac="); ok {
			if m, err := host.ParseMAC(v); err == nil {
				mac = m
			}
		}
	}
	return mac
}
