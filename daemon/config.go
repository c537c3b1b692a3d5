package daemon

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"time"

	"provision.internal/ansible"
	"provision.internal/boot"
	"provision.internal/cluster"
	"provision.internal/dhcp"
	"provision.internal/host"
	"provision.internal/images/release"
	"provision.internal/installer"
	"provision.internal/nomad"
	"provision.internal/router"
)

// Config is the whole configuration. Sections that belong to one part are that
// part's own type.
type Config struct {
	File      string                    `mapstructure:"-"` // that all this was read from; empty for none
	Server    Server                    `mapstructure:"server"`
	Network   []dhcp.Network            `mapstructure:"network"`
	Images    Images                    `mapstructure:"images"`
	Roles     map[string]installer.Role `mapstructure:"roles"`
	Hosts     []Host                    `mapstructure:"hosts"`
	Nomad     nomad.Config              `mapstructure:"nomad"`
	Cluster   cluster.Config            `mapstructure:"cluster"`
	Config    ansible.Config            `mapstructure:"config"`
	Router    *router.Config            `mapstructure:"router"` // nil: none, or "none" in the file
	Deadlines Deadlines                 `mapstructure:"deadlines"`
}

// Server is where the appliance listens and keeps its state.
type Server struct {
	Name      string        `mapstructure:"name"`      // of the appliance, in its certificate and in DHCP
	Address   netip.Addr    `mapstructure:"address"`   // at which machines reach it
	Interface string        `mapstructure:"interface"` // of networks that name none
	State     string        `mapstructure:"state"`     // folder for everything that must survive
	Socket    string        `mapstructure:"socket"`    // of the operators
	HTTP      string        `mapstructure:"http"`      // HOST:PORT or :PORT
	HTTPS     string        `mapstructure:"https"`
	TFTP      string        `mapstructure:"tftp"`
	Linger    time.Duration `mapstructure:"linger"` // how long an unadmitted machine waits for its admission before it boots its disk
}

// Images says what the boot files are made of.
type Images struct {
	Upstream     string                   `mapstructure:"upstream"`     // root of Void's mirror, when there is no Repository
	Release      Date                     `mapstructure:"release"`      // of Void, whose ROOTFS is pulled when none is named
	ReleaseKey   string                   `mapstructure:"release_key"`  // minisign key of a release that is not known here
	Repository   string                   `mapstructure:"repository"`   // folder with XBPS repositories, served to machines
	Repositories []string                 `mapstructure:"repositories"` // folders below it, first wins
	Keys         string                   `mapstructure:"keys"`         // folder with the trusted package keys
	ROOTFS       string                   `mapstructure:"rootfs"`       // Void's ROOTFS tarball: the installer's tools
	Netboot      string                   `mapstructure:"netboot"`      // NETBOOT tarball that PCs boot in place of the image made here
	Kernel       string                   `mapstructure:"kernel"`       // package of the installer's kernel
	Arch         Arches                   `mapstructure:"arch"`         // as XBPS calls them
	Libc         string                   `mapstructure:"libc"`         // glibc or musl: of the installer, and of roles that name none
	Cmdline      string                   `mapstructure:"cmdline"`      // added to the installer's kernel command line
	Loaders      map[boot.Platform]string `mapstructure:"loaders"`      // files that replace the embedded loaders
	Cache        Cache                    `mapstructure:"cache"`        // of what upstream has
}

// Cache is what the mirror of upstream may take.
type Cache struct {
	Size uint64 `mapstructure:"size"` // bytes of packages
}

// Host is a machine that the configuration names: it gets its address and its
// name, but nothing is installed on it before provision enroll.
type Host struct {
	Name    string     `mapstructure:"name"`
	MAC     host.MAC   `mapstructure:"mac"`
	Role    string     `mapstructure:"role"`
	Address netip.Addr `mapstructure:"address"` // reserved for it; from the pool when not set
	Disk    string     `mapstructure:"disk"`    // serial of the disk to install on; of a mirror both, with a comma between
}

// Deadlines are how long a host may stay in each state before it counts as
// Failed. Admitted is also how long a grant stays open.
type Deadlines struct {
	Admitted   time.Duration `mapstructure:"admitted"`
	Installing time.Duration `mapstructure:"installing"`
	Installed  time.Duration `mapstructure:"installed"`
	Booted     time.Duration `mapstructure:"booted"`
	Joined     time.Duration `mapstructure:"joined"`
	Configured time.Duration `mapstructure:"configured"`
}

// Map is d as the store takes it.
func (d Deadlines) Map() map[host.State]time.Duration {
	return map[host.State]time.Duration{
		host.Admitted: d.Admitted, host.Installing: d.Installing, host.Installed: d.Installed,
		host.Booted: d.Booted, host.Joined: d.Joined, host.Configured: d.Configured,
	}
}

// Where things are when nobody says otherwise.
const (
	DefaultSocket   = "/run/provision.sock"
	DefaultUpstream = "https://repo-default.voidlinux.org"
	defaultState    = "/var/lib/provision"
)

// Default is the configuration before the file is read.
func Default() Config {
	return Config{
		Server: Server{
			Name: "provision", State: defaultState, Socket: DefaultSocket,
			HTTP: ":80", HTTPS: ":443", TFTP: ":69",
		},
		Images: Images{Upstream: DefaultUpstream, Release: release.Latest, Kernel: "linux", Arch: Arches{"x86_64"}, Cache: Cache{Size: 50 << 30}},
		Nomad:  nomad.Config{Region: nomad.DefaultRegion, Datacenter: nomad.DefaultDatacenter, Quarantine: nomad.DefaultQuarantine, LostAfter: nomad.DefaultLostAfter},
		Deadlines: Deadlines{
			Admitted: 24 * time.Hour, Installing: time.Hour, Installed: 15 * time.Minute,
			Booted: 15 * time.Minute, Joined: time.Hour, Configured: 5 * time.Minute,
		},
	}
}

// resolve makes file names absolute, counted from base, and hands down what a
// section inherits.
func (c *Config) resolve(base string) {
	files := []*string{
		&c.Server.State, &c.Server.Socket,
		&c.Images.Repository, &c.Images.Keys, &c.Images.ROOTFS, &c.Images.Netboot,
		&c.Nomad.TokenFile, &c.Nomad.CA, &c.Nomad.Cert, &c.Nomad.Key, &c.Nomad.Job,
	}
	for _, f := range files {
		*f = absolute(base, *f)
	}
	for name, role := range c.Roles {
		role.Job = absolute(base, role.Job)
		if role.LUKS != nil {
			role.LUKS.PassphraseFile = absolute(base, role.LUKS.PassphraseFile)
		}
		c.Roles[name] = role
	}
	for p, f := range c.Images.Loaders {
		c.Images.Loaders[p] = absolute(base, f)
	}
	if c.Router != nil {
		c.Router.PasswordFile = absolute(base, c.Router.PasswordFile)
	}
	c.resolveCluster(base)
	c.deriveCluster()
	c.Nomad.Docker = c.Config.DriverName() == ansible.Docker
	for i := range c.Network {
		n := &c.Network[i]
		if n.Interface == "" {
			n.Interface = c.Server.Interface
		}
		if n.DHCP == "" {
			n.DHCP = dhcp.Full
		}
	}
}

// dhcpConfig is what the DHCP server needs to know.
func (c Config) dhcpConfig() dhcp.Config {
	d := dhcp.Config{Networks: c.Network, Address: c.Server.Address, HTTPPort: port(c.Server.HTTP)}
	for _, h := range c.Hosts {
		d.Reservations = append(d.Reservations, dhcp.Reservation{MAC: h.MAC, Address: h.Address})
	}
	return d
}

// port is the port of HOST:PORT; zero when it cannot be read.
func port(listen string) uint16 {
	_, text, err := net.SplitHostPort(listen)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return 0
	}
	return uint16(n)
}

func absolute(base, file string) string {
	if file == "" || filepath.IsAbs(file) {
		return file
	}
	return filepath.Join(base, file)
}

// httpURL is the plain server's address for machines, without a final slash.
func (s Server) httpURL() string { return s.url("http", port(s.HTTP), 80) }

// httpsURL is the secure server's.
func (s Server) httpsURL() string { return s.url("https", port(s.HTTPS), 443) }

func (s Server) url(scheme string, port, usual uint16) string {
	if port == usual {
		return scheme + "://" + s.Address.String()
	}
	return fmt.Sprintf("%s://%s:%d", scheme, s.Address, port)
}
