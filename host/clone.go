package host

import "slices"

// Clone returns a copy of h that shares nothing with it, so that whoever holds
// one cannot change the other.
func (h Host) Clone() Host {
	h.Failure = clone(h.Failure)
	h.Placed = clone(h.Placed)
	h.Grant = clone(h.Grant)
	h.Session = clone(h.Session)
	h.Enrolment = clone(h.Enrolment)
	h.Inventory = clone(h.Inventory)
	h.Configuration = clone(h.Configuration)
	if h.Configuration != nil {
		h.Configuration.Playbooks = slices.Clone(h.Configuration.Playbooks)
	}
	if h.Inventory != nil {
		h.Inventory.Disks = slices.Clone(h.Inventory.Disks)
		h.Inventory.NICs = slices.Clone(h.Inventory.NICs)
	}
	return h
}

func clone[T any](p *T) *T {
	if p == nil {
		return nil
	}
	c := *p
	return &c
}
