package installer

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Role describes a kind of host: what is installed on it and what it is for.
// Everything has a default; the zero Role installs on the machine's only disk.
type Role struct {
	Installer  string      `mapstructure:"installer"`  // who installs: agent (default), shell (upstream's installer alone)
	Disk       string      `mapstructure:"disk"`       // a rule of ParseDisks: which disk
	Mirror     bool        `mapstructure:"mirror"`     // RAID1 over two disks, each of which boots alone
	LUKS       *LUKS       `mapstructure:"luks"`       // encryption; nil means none
	Filesystem string      `mapstructure:"filesystem"` // of the root: ext4 (default), xfs, btrfs
	ESP        uint64      `mapstructure:"esp"`        // size of the EFI partition; 0 leaves it to the agent
	Root       uint64      `mapstructure:"root"`       // size of the root; 0 means what is left
	Swap       uint64      `mapstructure:"swap"`       // size; 0 means none
	Partitions []Partition `mapstructure:"partitions"` // besides root and swap
	Hardware   Hardware    `mapstructure:"hardware"`   // what its machines must have
	Boot       BootOrder   `mapstructure:"boot"`       // what firmware tries first: network (default), disk
	Libc       string      `mapstructure:"libc"`       // C library of its hosts: glibc, musl; the appliance's images.libc when empty
	Packages   []string    `mapstructure:"packages"`   // besides base-system, GRUB and nomad
	Services   []string    `mapstructure:"services"`   // besides dhcpcd, and sshd when there are users
	Users      []User      `mapstructure:"users"`
	Files      []File      `mapstructure:"files"`
	Script     string      `mapstructure:"script"`   // run in the new system when all else is in place
	Timezone   string      `mapstructure:"timezone"` // Europe/Berlin
	Keymap     string      `mapstructure:"keymap"`   // de
	Locale     string      `mapstructure:"locale"`   // de_DE.UTF-8
	Cmdline    string      `mapstructure:"cmdline"`  // kernel command line of the installed system
	Nomad      Nomad       `mapstructure:"nomad"`
	Job        string      `mapstructure:"job"`       // template of the configuration job; nomad.job of the appliance when empty
	Playbooks  []string    `mapstructure:"playbooks"` // that configure its hosts, in order; config.playbooks of the appliance when empty
}

// BootOrder is what UEFI firmware tries first on an installed machine. A BIOS has
// no order that an installer could set.
type BootOrder string

// The boot orders. BootNetwork leaves the appliance its say at every boot, and
// the disk follows at once when it has none or is gone.
const (
	BootNetwork BootOrder = "network"
	BootDisk    BootOrder = "disk"
)

// Nomad is what a role says about its hosts as Nomad clients. Empty values are
// those of the appliance's section nomad.
type Nomad struct {
	Pool       string            `mapstructure:"pool"`
	Datacenter string            `mapstructure:"datacenter"`
	Meta       map[string]string `mapstructure:"meta"`
	Config     string            `mapstructure:"config"` // HCL, a configuration file of its own
}

const (
	smallestESP = 64 << 20
	largestESP  = 8 << 30
	largestSwap = 1 << 40
	// a root below this holds no base-system
	smallestRoot = 1 << 30
	// the whole plan travels in one answer
	largestScript = 1 << 20
)

var (
	packageName = Regexp(`^[A-Za-z0-9][A-Za-z0-9+_.-]*$`)
	serviceName = Regexp(`^[A-Za-z0-9_][A-Za-z0-9_.@-]*$`)
	accountName = Regexp(`^[a-z_][a-z0-9_-]{0,31}$`)
	zoneName    = Regexp(`^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$`)
	localeName  = Regexp(`^(C|POSIX|[a-z]{2,3}(_[A-Z]{2})?)(\.[A-Za-z0-9-]+)?(@[a-z]+)?$`)
	nomadName   = Regexp(`^[A-Za-z0-9_-]{1,128}$`)
	poolSetting = Regexp(`(?m)^[^#\n]*\bnode_pool"?\s*[=:]`)
	metaKey     = Regexp(`^[A-Za-z_][A-Za-z0-9_.-]*$`)
	keyKinds    = []string{"ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"}
	hostLabel   = Regexp(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
)

// ValidHostname reports why name cannot be a host's: it becomes the hostname,
// a DNS label (RFC 1123 §2.1) and the name of the Nomad node.
func ValidHostname(name string) error {
	if !hostLabel().MatchString(name) {
		return fmt.Errorf("%q is no host name: want up to 63 lower-case letters, digits and inner hyphens", name)
	}
	return nil
}

// faults collects what is wrong, each with the path of its key.
type faults struct {
	path string
	all  []error
}

func (f *faults) add(key, format string, args ...any) {
	f.all = append(f.all, fmt.Errorf("%s.%s: %s", f.path, key, fmt.Sprintf(format, args...)))
}

// each checks the entries of a list against a pattern and each other.
func (f *faults) each(key string, values []string, pattern func() *regexp.Regexp, want string) {
	for i, v := range values {
		switch at := fmt.Sprintf("%s[%d]", key, i); {
		case !pattern().MatchString(v):
			f.add(at, "%q is no %s", v, want)
		case slices.Index(values, v) < i:
			f.add(at, "%s is listed twice", v)
		}
	}
}

// Validate reports every fault at once. Each message begins with the key's
// path; at is the role's own, without a final dot.
func (r Role) Validate(at string) error {
	f := &faults{path: at}
	r.validateInstaller(f)
	r.validateLayout(f)
	r.Hardware.validate(f)
	if !slices.Contains([]BootOrder{"", BootNetwork, BootDisk}, r.Boot) {
		f.add("boot", "%q is neither network nor disk", r.Boot)
	}
	if !slices.Contains([]string{"", "glibc", "musl"}, r.Libc) {
		f.add("libc", "%q is neither glibc nor musl", r.Libc)
	}
	f.each("packages", r.Packages, packageName, "package name")
	f.each("services", r.Services, serviceName, "service name")
	for i, s := range r.Services {
		if s == NomadService || s == FirstBootService {
			f.add(fmt.Sprintf("services[%d]", i), "%s is enabled by the first boot, once the host has enrolled: take it out", s)
		}
	}
	r.validateUsers(f)
	r.validateFiles(f)
	for _, v := range []struct {
		key, value, example string
		pattern             func() *regexp.Regexp
	}{
		{"timezone", r.Timezone, "Europe/Berlin", zoneName},
		{"keymap", r.Keymap, "de-latin1", serviceName},
		{"locale", r.Locale, "de_DE.UTF-8", localeName},
		{"nomad.pool", r.Nomad.Pool, "workers", nomadName},
		{"nomad.datacenter", r.Nomad.Datacenter, "dc1", nomadName},
	} {
		if v.value != "" && !v.pattern().MatchString(v.value) {
			f.add(v.key, "%q cannot be one: want something like %s", v.value, v.example)
		}
	}
	if len(r.Script) > largestScript || strings.ContainsRune(r.Script, 0) {
		f.add("script", "is longer than 1MiB or no text")
	}
	if strings.ContainsFunc(r.Cmdline, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		f.add("cmdline", "has a line break or another control character")
	}
	if poolSetting().MatchString(r.Nomad.Config) {
		f.add("nomad.config", "sets node_pool: use nomad.pool, so that a host is in quarantine first")
	}
	for _, key := range slices.Sorted(maps.Keys(r.Nomad.Meta)) {
		if !metaKey().MatchString(key) {
			f.add("nomad.meta", "%q is no key: want letters, digits, dots, hyphens and underscores", key)
		}
	}
	return errors.Join(f.all...)
}

func (r Role) validateUsers(f *faults) {
	seen := map[string]bool{}
	for i, u := range r.Users {
		at := fmt.Sprintf("users[%d]", i)
		switch {
		case !accountName().MatchString(u.Name):
			f.add(at+".name", "%q is no account name: want up to 32 lower-case letters, digits, hyphens and underscores", u.Name)
		case u.Name == "root":
			f.add(at+".name", "root stays locked: give another account the group wheel, which may use sudo")
		case seen[u.Name]:
			f.add(at+".name", "%s is listed twice", u.Name)
		}
		seen[u.Name] = true
		if len(u.Keys) == 0 {
			f.add(at+".keys", "is empty: accounts have no password, so nobody could enter")
		}
		for j, k := range u.Keys {
			if kind, rest, _ := strings.Cut(k, " "); !slices.Contains(keyKinds, kind) || strings.TrimSpace(rest) == "" || strings.ContainsAny(k, "\r\n") {
				f.add(fmt.Sprintf("%s.keys[%d]", at, j), "is no SSH public key: want one line such as that of ~/.ssh/id_ed25519.pub")
			}
		}
		f.each(at+".groups", u.Groups, accountName, "group name")
		if u.Shell != "" && (!path.IsAbs(u.Shell) || strings.ContainsAny(u.Shell, ": \n")) {
			f.add(at+".shell", "%q is no path of a program", u.Shell)
		}
	}
}

func (r Role) validateFiles(f *faults) {
	seen := map[string]bool{}
	for i, file := range r.Files {
		at := fmt.Sprintf("files[%d]", i)
		switch {
		case !path.IsAbs(file.Path) || path.Clean(file.Path) != file.Path || file.Path == "/":
			f.add(at+".path", "%q is no plain absolute path", file.Path)
		case slices.Contains([]string{EnrolFile, AgentBinary, HostKey, HostCertificate, HostCA, NomadID, NomadSecret}, file.Path):
			f.add(at+".path", "%s belongs to the first boot", file.Path)
		case seen[file.Path]:
			f.add(at+".path", "%s is listed twice", file.Path)
		}
		seen[file.Path] = true
		if file.Mode > 0o777 {
			f.add(at+".mode", "%#o has more than permission bits", file.Mode)
		}
	}
}
