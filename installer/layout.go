package installer

import (
	"log/slog"
	"path"
	"slices"
	"strings"
)

// Partition is a file system of its own besides the root's.
type Partition struct {
	Path       string `json:"path" mapstructure:"path"`             // where it is mounted
	Size       uint64 `json:"size" mapstructure:"size"`             // bytes; 0 takes what is left, which one of them may
	Filesystem string `json:"filesystem" mapstructure:"filesystem"` // ext4, xfs, btrfs; "" means the root's
}

// LUKS says that everything but /boot is encrypted.
type LUKS struct {
	// PassphraseFile is read by the appliance for each plan. A final line break is
	// not part of the passphrase.
	PassphraseFile string `mapstructure:"passphrase_file"`
}

// Secret is text that must not be shown: only JSON, as which plans travel, has it.
type Secret string

// String implements fmt.Stringer.
func (s Secret) String() string { return "(secret)" }

// GoString implements fmt.GoStringer: %#v must not show it either.
func (s Secret) GoString() string { return s.String() }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// Filesystems are those that an installed system may be on.
var Filesystems = []string{"ext4", "xfs", "btrfs"}

// DefaultFilesystem is the root's when the role names none.
const DefaultFilesystem = "ext4"

// reserved are directories that no partition can be mounted on: the kernel's own,
// those without which nothing is mounted, and those that the installer makes.
var reserved = []string{"/", "/boot/efi", "/boot/efi2", "/dev", "/proc", "/sys", "/run", "/etc", "/usr", "/bin", "/sbin", "/lib", "/lib64", "/tmp"}

const (
	smallestPartition = 64 << 20
	largestPassphrase = 512 // bytes; cryptsetup asks for no longer ones at a console
)

var mountPath = Regexp(`^(/[A-Za-z0-9_][A-Za-z0-9._-]*)+$`)

// layout is how r divides a disk.
func (r Role) layout(uefi bool) Layout {
	l := Layout{
		Filesystem: r.Filesystem, Root: r.Root, Swap: r.Swap, Mirror: r.Mirror,
		Partitions: slices.Clone(r.Partitions),
	}
	if l.Filesystem == "" {
		l.Filesystem = DefaultFilesystem
	}
	for i := range l.Partitions {
		if l.Partitions[i].Filesystem == "" {
			l.Partitions[i].Filesystem = l.Filesystem
		}
	}
	if uefi {
		l.ESP = r.ESP
	}
	return l
}

// Tools returns Void's packages with the programs that the layout of r needs
// besides those of the base system: both the installer's image and the installed
// system must have them.
func (r Role) Tools() []string {
	l := r.layout(false)
	kinds := []string{l.Filesystem}
	for _, p := range l.Partitions {
		kinds = append(kinds, p.Filesystem)
	}
	var tools []string
	for _, t := range []struct {
		wanted bool
		name   string
	}{
		{slices.Contains(kinds, "xfs"), "xfsprogs"},
		{slices.Contains(kinds, "btrfs"), "btrfs-progs"},
		{l.Mirror, "mdadm"},
		{r.LUKS != nil, "cryptsetup"},
	} {
		if t.wanted {
			tools = append(tools, t.name)
		}
	}
	return tools
}

func (r Role) validateLayout(f *faults) {
	rules, err := ParseDisks(r.Disk)
	switch {
	case err != nil:
		f.add("disk", "%v", err)
	case len(rules) > 2:
		f.add("disk", "names %d disks: a mirror has two", len(rules))
	case len(rules) == 2 && !r.Mirror:
		f.add("disk", "names two disks: add mirror: true, or name one")
	}
	if r.Filesystem != "" && !slices.Contains(Filesystems, r.Filesystem) {
		f.add("filesystem", "%q is none of %s", r.Filesystem, strings.Join(Filesystems, ", "))
	}
	if r.ESP != 0 && (r.ESP < smallestESP || r.ESP > largestESP) {
		f.add("esp", "is not between 64MiB and 8GiB; leave it out for a size that fits the disk")
	}
	if r.Swap > largestSwap {
		f.add("swap", "is more than 1TiB")
	}
	r.validatePartitions(f)
	if r.LUKS != nil && r.LUKS.PassphraseFile == "" {
		f.add("luks.passphrase_file", "is missing: name a file on the appliance with the passphrase, readable by root only")
	}
}

func (r Role) validatePartitions(f *faults) {
	rest := ""
	for i, p := range r.Partitions {
		at := "partitions[" + countText(uint64(i)) + "]"
		same := func(o Partition) bool { return o.Path == p.Path }
		switch {
		case !mountPath().MatchString(p.Path) || path.Clean(p.Path) != p.Path:
			f.add(at+".path", "%q is no directory such as /var or /srv/data", p.Path)
		case slices.Contains(reserved, p.Path):
			f.add(at+".path", "%s cannot be a partition of its own", p.Path)
		case slices.IndexFunc(r.Partitions, same) < i:
			f.add(at+".path", "%s is listed twice", p.Path)
		}
		switch {
		case p.Size == 0 && rest != "":
			f.add(at+".size", "is missing, and %s takes what is left already", rest)
		case p.Size == 0:
			rest = p.Path
		case p.Size < smallestPartition:
			f.add(at+".size", "is less than 64MiB")
		}
		if p.Filesystem != "" && !slices.Contains(Filesystems, p.Filesystem) {
			f.add(at+".filesystem", "%q is none of %s", p.Filesystem, strings.Join(Filesystems, ", "))
		}
	}
	switch {
	case rest != "" && r.Root == 0:
		f.add("root", "is missing: say how large the root is, since %s takes what is left", rest)
	case r.Root != 0 && r.Root < smallestRoot:
		f.add("root", "is less than 1GiB, which holds no system")
	}
}
