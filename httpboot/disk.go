package httpboot

import (
	"fmt"
	"strings"

	"provision.internal/host"
)

// minDisk is the smallest disk that counts as one to install on: below it are
// card readers and firmware's own sticks.
const minDisk = 1 << 30

// targets returns the disks that an install of h would write.
func (s *Server) targets(h host.Host) ([]host.Disk, error) {
	if s.Targets != nil {
		return s.Targets(h)
	}
	return chooseDisk(h)
}

// chooseDisk returns the disks that h's grant is for: those that it names, else
// the only one that carries nothing of others. Among several nothing is guessed.
func chooseDisk(h host.Host) ([]host.Disk, error) {
	if want := h.Grant.Disk; want != "" {
		return claimedDisks(h, want)
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
		return nil, fmt.Errorf("no disk of at least 1 GiB was found")
	case len(free) == 1:
		return free, nil
	case len(free) == 0:
		return nil, fmt.Errorf("every disk carries something: %s; name the one that may be wiped with provision enroll --disk", strings.Join(all, ", "))
	}
	return nil, fmt.Errorf("there are several disks: %s; name one with provision enroll --disk", strings.Join(all, ", "))
}

// claimedDisks returns the disks of h that ids names.
func claimedDisks(h host.Host, ids string) ([]host.Disk, error) {
	var all []host.Disk
	if h.Inventory != nil {
		all = h.Inventory.Disks
	}
	found, err := host.FindDisks(all, ids)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", h.Label(), host.ErrGrant, err)
	}
	return found, nil
}

func describe(d host.Disk) string {
	text := fmt.Sprintf("%s (%s, %d GB", d.ID(), d.Name, d.Size/1e9)
	if d.Foreign != "" {
		text += ", " + d.Foreign
	}
	return text + ")"
}
