package daemon

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"provision.internal/boot"
	"provision.internal/host"
	"provision.internal/nomad"
	"provision.internal/web"
)

// Validate reports, as Faults, everything that is wrong with c by itself. What
// may be wrong with the world around it is Check's to say.
func (c Config) Validate() error {
	var fs Faults
	c.Server.validate(&fs)
	if len(c.Network) == 0 {
		fs.add("network", "is missing: list at least one network on which machines boot")
	}
	fs.take(c.dhcpConfig().Validate())
	c.Images.validate(&fs)
	if len(c.Roles) == 0 {
		fs.add("roles", "is missing: describe at least one role for hosts")
	}
	for _, name := range slices.Sorted(maps.Keys(c.Roles)) {
		if !web.ValidName(name) {
			fs.add("roles."+name, "a role's name has lower-case letters, digits and hyphens only")
		}
		fs.take(c.Roles[name].Validate("roles." + name))
		if err := nomad.CheckTemplate(c.Roles[name].Job); err != nil {
			fs.add("roles."+name+".job", "%v", err)
		}
	}
	c.validateNetboot(&fs)
	c.validateHosts(&fs)
	c.validateCluster(&fs)
	c.validateConfiguration(&fs)
	c.validateRouter(&fs)
	c.Deadlines.validate(&fs)
	return fs.err()
}

func (s Server) validate(fs *Faults) {
	switch {
	case !s.Address.IsValid():
		fs.add("server.address", "is missing: give the IPv4 address at which machines reach this appliance")
	case !s.Address.Is4() || s.Address.IsUnspecified() || s.Address.IsMulticast():
		fs.add("server.address", "%s is no IPv4 address of a machine", s.Address)
	}
	if !web.ValidName(s.Name) {
		fs.add("server.name", "%q cannot be a name: want lower-case letters, digits and hyphens, at most 63", s.Name)
	}
	for _, f := range []struct{ key, value string }{{"server.state", s.State}, {"server.socket", s.Socket}} {
		if f.value == "" {
			fs.add(f.key, "is empty: give a file name, or leave the key out")
		}
	}
	// sockaddr_un holds 108 bytes with the final zero: unix(7).
	if len(s.Socket) > 107 {
		fs.add("server.socket", "is %d characters long; a unix socket's name has at most 107", len(s.Socket))
	}
	listen := map[string]string{}
	for _, l := range []struct{ key, value string }{{"server.http", s.HTTP}, {"server.https", s.HTTPS}} {
		if validListen(fs, l.key, l.value) && listen[l.value] != "" {
			fs.add(l.key, "%s is taken by %s", l.value, listen[l.value])
		}
		listen[l.value] = l.key
	}
	validListen(fs, "server.tftp", s.TFTP)
	if s.Linger < 0 || s.Linger > time.Hour {
		fs.add("server.linger", "%s is not between 0s and 1h", s.Linger)
	}
}

func validListen(fs *Faults, key, value string) bool {
	name, port, err := net.SplitHostPort(value)
	n, numErr := strconv.ParseUint(port, 10, 16)
	if err != nil || numErr != nil || n == 0 {
		fs.add(key, "%q is no address to listen on: want :PORT or ADDRESS:PORT", value)
		return false
	}
	if _, err := netip.ParseAddr(name); name != "" && err != nil {
		fs.add(key, "%q is no IP address: want :PORT or ADDRESS:PORT", name)
		return false
	}
	return true
}

func (im Images) validateLoaders(fs *Faults) {
	for _, p := range slices.Sorted(maps.Keys(im.Loaders)) {
		if boot.Loader(p) == "" {
			fs.add("images.loaders."+string(p), "is no platform: want %s, %s or %s", boot.BIOS, boot.UEFIx64, boot.UEFIarm64)
		}
	}
}

func (c Config) validateHosts(fs *Faults) {
	names, macs := map[string]int{}, map[host.MAC]int{}
	for i, h := range c.Hosts {
		path := fmt.Sprintf("hosts[%d]", i)
		if !web.ValidName(h.Name) {
			fs.add(path+".name", "%q cannot be a name: want lower-case letters, digits and hyphens, at most 63", h.Name)
		} else if j, ok := names[h.Name]; ok {
			fs.add(path+".name", "%s is the name of hosts[%d] too", h.Name, j)
		}
		names[h.Name] = i
		if h.MAC.IsZero() {
			fs.add(path+".mac", "is missing: give the MAC address of the interface that the machine boots from")
		} else if j, ok := macs[h.MAC]; ok {
			fs.add(path+".mac", "%s belongs to hosts[%d] too", h.MAC, j)
		}
		macs[h.MAC] = i
		if _, ok := c.Roles[h.Role]; h.Role != "" && !ok {
			fs.add(path+".role", "there is no role %q", h.Role)
		}
	}
}

func (d Deadlines) validate(fs *Faults) {
	for _, f := range []struct {
		key   string
		value time.Duration
	}{
		{"admitted", d.Admitted}, {"installing", d.Installing}, {"installed", d.Installed},
		{"booted", d.Booted}, {"joined", d.Joined}, {"configured", d.Configured},
	} {
		if f.value < time.Second {
			fs.add("deadlines."+f.key, "%s is shorter than 1s", f.value)
		}
	}
}
