package host

import (
	"fmt"
	"slices"
	"strings"
)

// Inventory is the hardware as the agent found it. Sizes are in bytes.
type Inventory struct {
	Vendor  string `json:"vendor,omitempty"` // SMBIOS
	Product string `json:"product,omitempty"`
	Serial  string `json:"serial,omitempty"`
	UUID    UUID   `json:"uuid,omitzero"`
	UEFI    bool   `json:"uefi"`
	Arch    string `json:"arch"` // as XBPS calls it: x86_64, aarch64
	CPU     string `json:"cpu,omitempty"`
	CPUs    int    `json:"cpus"`
	Memory  uint64 `json:"memory"`
	Disks   []Disk `json:"disks"`
	NICs    []NIC  `json:"nics"`
}

// Disk is one whole disk.
type Disk struct {
	Name     string `json:"name"`           // kernel name of this boot: nvme0n1
	Path     string `json:"path,omitempty"` // stable: /dev/disk/by-path name, without the folder
	Serial   string `json:"serial,omitempty"`
	WWN      string `json:"wwn,omitempty"`
	Model    string `json:"model,omitempty"`
	Size     uint64 `json:"size"`
	Rotating bool   `json:"rotating,omitempty"`
	Foreign  string `json:"foreign,omitempty"` // a signature that forbids wiping: "LVM2_member on sda2"
}

// NIC is one network interface with a permanent address.
type NIC struct {
	Name string `json:"name"`
	MAC  MAC    `json:"mac"`
	Link bool   `json:"link"`
	Boot bool   `json:"boot,omitempty"` // the one that the machine booted from
}

// ID is what names d in grants and plans: its serial, or, for a disk that has
// none (a plain virtio disk), its WWN, or else its path. It is empty when there
// is nothing stable to name it by: such a disk is never written.
func (d Disk) ID() string {
	for _, id := range []string{d.Serial, d.WWN, d.Path} {
		if id != "" {
			return id
		}
	}
	return ""
}

// DiskIDs names the disks of one install in grants, claims and on the command
// line: their IDs, joined by commas.
func DiskIDs(disks []Disk) string {
	ids := make([]string, len(disks))
	for i, d := range disks {
		ids[i] = d.ID()
	}
	return strings.Join(ids, ",")
}

// FindDisks returns the disks among all that ids, made by DiskIDs, means, in its
// order. An ID that no disk has, or more than one, is an error: such a disk
// cannot be told from another.
func FindDisks(all []Disk, ids string) ([]Disk, error) {
	names := strings.Split(ids, ",")
	if slices.ContainsFunc(all, func(d Disk) bool { return d.ID() == ids }) {
		names = []string{ids} // a serial with a comma in it
	}
	var found []Disk
	for i, id := range names {
		n := 0
		for _, d := range all {
			if d.ID() == id && id != "" {
				found = append(found, d)
				n++
			}
		}
		switch {
		case n == 0:
			return nil, fmt.Errorf("no disk has the serial %q", id)
		case n > 1:
			return nil, fmt.Errorf("%d disks have the serial %q: take one out, or name another", n, id)
		case slices.Index(names, id) < i:
			return nil, fmt.Errorf("the disk %q is named twice", id)
		}
	}
	return found, nil
}
