package httpboot

import (
	"fmt"
	"slices"
	"strings"

	"provision.internal/host"
)

// minDisk is the smallest disk that counts as one to install on: below it are
// card readers and firmware's own sticks.
const minDisk = 1 << 30

// target returns the disk that an install of h would write.
func (s *Server) target(h host.Host) (host.Disk, error) {
	if s.Target != nil {
		return s.Target(h)
	}
	return chooseDisk(h)
}

// chooseDisk returns the disk that h's grant is for: the one that it names, else
// the only one that carries nothing of others. Among several nothing is guessed.
func chooseDisk(h host.Host) (host.Disk, error) {
	if want := h.Grant.Disk; want != "" {
		return claimedDisk(h, want)
	}
	var free []host.Disk
	var all []string
	for _, d := range h.Inventory.Disks {
		if d.ID() == "" || d.Size < minDisk {
			continue
		}
		all = append(all, describe(d))
		if d.Foreign == "" {
			free = append(free, d)
		}
	}
	switch {
	case len(all) == 0:
		return host.Disk{}, fmt.Errorf("no disk of at least 1 GiB was found")
	case len(free) == 1:
		return free[0], nil
	case len(free) == 0:
		return host.Disk{}, fmt.Errorf("every disk carries something: %s; name the one that may be wiped with provision enroll --disk", strings.Join(all, ", "))
	}
	return host.Disk{}, fmt.Errorf("there are several disks: %s; name one with provision enroll --disk", strings.Join(all, ", "))
}

// claimedDisk returns the disk of h that id names.
func claimedDisk(h host.Host, id string) (host.Disk, error) {
	if h.Inventory != nil && id != "" {
		named := func(d host.Disk) bool { return d.ID() == id }
		if i := slices.IndexFunc(h.Inventory.Disks, named); i >= 0 {
			if slices.ContainsFunc(h.Inventory.Disks[i+1:], named) {
				return host.Disk{}, fmt.Errorf("%s: %w: two disks are called %q", h.Label(), host.ErrGrant, id)
			}
			return h.Inventory.Disks[i], nil
		}
	}
	return host.Disk{}, fmt.Errorf("%s: %w: it has no disk called %q", h.Label(), host.ErrGrant, id)
}

func describe(d host.Disk) string {
	text := fmt.Sprintf("%s (%s, %d GB", d.ID(), d.Name, d.Size/1e9)
	if d.Foreign != "" {
		text += ", " + d.Foreign
	}
	return text + ")"
}
