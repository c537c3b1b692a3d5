package installer

import (
	"provision.internal/host"
)

// Plan is everything that the agent needs to turn blank disks into one bootable
// system. It travels over TLS only: it carries the enrolment token and, with
// LUKS, the passphrase.
type Plan struct {
	Host       string    `json:"host"` // hostname
	MAC        host.MAC  `json:"mac"`
	Disks      []Disk    `json:"disks"` // one, or the two of a mirror
	Layout     Layout    `json:"layout"`
	Repository []string  `json:"repository"`         // XBPS repository URLs, first wins
	Snapshot   string    `json:"snapshot,omitempty"` // that Repository is of, where there are snapshots
	Arch       string    `json:"arch"`               // XBPS_ARCH: x86_64, x86_64-musl, aarch64, …
	Keys       []File    `json:"keys"`               // trusted package keys, file names as XBPS wants them (<fingerprint>.plist)
	Packages   []string  `json:"packages"`
	Services   []string  `json:"services"` // runit services to enable
	Users      []User    `json:"users"`
	Files      []File    `json:"files"`
	Timezone   string    `json:"timezone"`
	Keymap     string    `json:"keymap"`
	Locale     string    `json:"locale"`
	Cmdline    string    `json:"cmdline"` // kernel command line of the installed system
	Boot       BootOrder `json:"boot"`
	Script     string    `json:"script,omitempty"`
	FirstBoot  FirstBoot `json:"first_boot"`
}

// Disk names a disk that may be written.
type Disk struct {
	Serial  string `json:"serial"`            // host.Disk.ID: what stands for the serial of a disk without one
	Size    uint64 `json:"size"`              // as the inventory said; another size is refused
	Foreign bool   `json:"foreign,omitempty"` // the operator named this serial: a foreign signature may be wiped
}

// Layout is how the disks are divided. Sizes are in bytes; the root takes what is
// left, unless it has a size and a partition takes it.
type Layout struct {
	Filesystem string      `json:"filesystem"`           // of the root: one of Filesystems
	ESP        uint64      `json:"esp"`                  // UEFI only; 0 means 128 MiB
	Root       uint64      `json:"root,omitempty"`       // 0 means what is left
	Swap       uint64      `json:"swap"`                 // 0 means none
	Partitions []Partition `json:"partitions,omitempty"` // each with its file system
	Mirror     bool        `json:"mirror,omitempty"`     // RAID1 over both disks
	Passphrase Secret      `json:"passphrase,omitempty"` // LUKS when there is one
}

// User is an account with SSH keys and without a password.
type User struct {
	Name   string   `json:"name" mapstructure:"name"`
	Keys   []string `json:"keys" mapstructure:"keys"`
	Groups []string `json:"groups" mapstructure:"groups"`
	Shell  string   `json:"shell" mapstructure:"shell"`
}

// File is placed on the installed system.
type File struct {
	Path    string `json:"path" mapstructure:"path"`
	Mode    uint32 `json:"mode" mapstructure:"mode"` // permission bits; 0 means 0644
	Content string `json:"content" mapstructure:"content"`
}

// FirstBoot is what the first-boot service needs. CA is the appliance's
// authority (PEM), the only one that the service trusts.
type FirstBoot struct {
	URL   string `json:"url"`  // https://ADDRESS:PORT
	HTTP  string `json:"http"` // http://ADDRESS:PORT: tells the time, without which no certificate is valid
	CA    string `json:"ca"`
	Token string `json:"token"` // one use
}
