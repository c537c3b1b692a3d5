package lab

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"provision.internal/host"
)

// Firmware is what a machine starts with.
type Firmware string

// The firmwares.
const (
	UEFI Firmware = "uefi" // OVMF: PXE, or HTTP boot when the machine says so
	BIOS Firmware = "bios" // SeaBIOS with iPXE as the card's option ROM
)

// Machine is one computer of the rack.
type Machine struct {
	Name     string     `json:"name"`
	Firmware Firmware   `json:"firmware"`
	HTTP     bool       `json:"http,omitempty"` // not with BIOS: HTTP boot instead of PXE
	Disk     DiskKind   `json:"disk"`
	More     []DiskKind `json:"more,omitempty"`   // further disks
	Pulled   int        `json:"pulled,omitempty"` // number of the disk, from 1, that is out of its slot; see PullDisk
	Size     int64      `json:"size"`             // of each disk, in bytes
	MAC      host.MAC   `json:"mac"`
	UUID     host.UUID  `json:"uuid"`
	Memory   int        `json:"memory"` // MiB
	CPUs     int        `json:"cpus"`
}

// DiskKind is how the disk is attached.
type DiskKind string

// The kinds of disks. SATA is an ATA disk on the chipset's old controller:
// Debian's kernel for virtual machines has no AHCI.
const (
	NVMe   DiskKind = "nvme"
	Virtio DiskKind = "virtio"
	SATA   DiskKind = "sata"
)

// Serial is the serial number that the machine's disk shows.
func (m Machine) Serial() string { return m.SerialOf(1) }

// SerialOf is that of disk n, from 1.
func (m Machine) SerialOf(n int) string {
	if n == 1 {
		return "LAB-" + m.Name
	}
	return fmt.Sprintf("LAB-%s-%d", m.Name, n)
}

// disks are the kinds of all disks.
func (m Machine) disks() []DiskKind { return append([]DiskKind{m.Disk}, m.More...) }

// tap names the machine's network card in the namespace (at most 15 bytes).
func (m Machine) tap() string { return "tap-" + m.Name }

var machineName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,10}$`)

// withDefaults fills what was left open. MAC and UUID follow from the name, so
// that a machine that is added again is the same one to the appliance.
func (m Machine) withDefaults() Machine {
	sum := sha256.Sum256([]byte(m.Name))
	if m.MAC.IsZero() {
		m.MAC = host.MAC{0x52, 0x54, 0x00, sum[0], sum[1], sum[2]} // QEMU's prefix
	}
	if m.UUID.IsZero() {
		m.UUID = host.UUID(sum[3:19])
	}
	m.Firmware = cmp.Or(m.Firmware, UEFI)
	m.Disk = cmp.Or(m.Disk, NVMe)
	m.Size = cmp.Or(m.Size, 4<<30)
	m.Memory = cmp.Or(m.Memory, 1024)
	m.CPUs = cmp.Or(m.CPUs, 2)
	return m
}

func (m Machine) validate() error {
	var errs []error
	if !machineName.MatchString(m.Name) {
		errs = append(errs, fmt.Errorf("%q cannot name a machine: want lower-case letters, digits and dashes, at most 11", m.Name))
	}
	if !slices.Contains([]Firmware{UEFI, BIOS, ARM64}, m.Firmware) {
		errs = append(errs, fmt.Errorf("firmware %q: want %s, %s or %s", m.Firmware, UEFI, BIOS, ARM64))
	}
	if m.HTTP && m.Firmware == BIOS {
		errs = append(errs, errors.New("HTTP boot needs UEFI firmware"))
	}
	for _, kind := range m.disks() {
		if kind == SATA && m.Firmware == ARM64 {
			errs = append(errs, errors.New("the arm64 board has no SATA controller: want nvme or virtio"))
		}
		if !slices.Contains([]DiskKind{NVMe, Virtio, SATA}, kind) {
			errs = append(errs, fmt.Errorf("disk %q: want %s, %s or %s", kind, NVMe, Virtio, SATA))
		}
	}
	if sata := slices.DeleteFunc(m.disks(), func(k DiskKind) bool { return k != SATA }); len(sata) > 4 {
		errs = append(errs, fmt.Errorf("%d SATA disks: the controller has four ports", len(sata)))
	}
	return errors.Join(errs...)
}

// Add puts a machine with an empty disk into the rack, switched off.
func (r *Rack) Add(ctx context.Context, m Machine) (Machine, error) {
	m = m.withDefaults()
	if err := m.validate(); err != nil {
		return m, err
	}
	if !r.IsUp() {
		return m, fmt.Errorf("rack %s is not up: run lab up first", r.Name)
	}
	dir := r.machineDir(m.Name)
	if exists(filepath.Join(dir, "machine.json")) {
		return m, fmt.Errorf("rack %s has a machine %s already", r.Name, m.Name)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return m, err
	}
	if err := r.EmptyDisk(m); err != nil {
		return m, err
	}
	if _, vars := m.Firmware.flash(); vars != "" {
		if err := copyFile(vars, filepath.Join(dir, "vars.fd")); err != nil {
			return m, err
		}
	}
	if err := r.addTap(ctx, m.tap()); err != nil {
		return m, err
	}
	if r.Running(ProcessRouter) {
		if _, err := r.plug(m.tap()); err != nil {
			return m, err
		}
	}
	return m, r.save(m)
}

// save writes down what the machine is.
func (r *Rack) save(m Machine) error {
	text, err := json.MarshalIndent(m, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.machineDir(m.Name), "machine.json"), append(text, '\n'), 0o644)
}

// EmptyDisk gives the machine new disks, all zeros.
func (r *Rack) EmptyDisk(m Machine) error {
	for i := range m.disks() {
		f, err := os.Create(r.DiskFileOf(m.Name, i+1))
		if err != nil {
			return err
		}
		if err := errors.Join(f.Truncate(m.Size), f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// PullDisk takes disk n, from 1, out of a machine that is off, and puts one that
// was pulled before back. Nothing is pulled when n is 0.
func (r *Rack) PullDisk(name string, n int) error {
	m, err := r.Machine(name)
	switch {
	case err != nil:
		return err
	case n < 0 || n > len(m.disks()):
		return fmt.Errorf("machine %s has %d disks, not %d", name, len(m.disks()), n)
	case r.Powered(name):
		return fmt.Errorf("machine %s is on: lab power off %s", name, name)
	}
	m.Pulled = n
	return r.save(m)
}

// DiskFile is the raw image that is the machine's disk.
func (r *Rack) DiskFile(name string) string { return r.DiskFileOf(name, 1) }

// DiskFileOf is that of disk n, from 1.
func (r *Rack) DiskFileOf(name string, n int) string {
	return filepath.Join(r.machineDir(name), diskImage(n))
}

func diskImage(n int) string {
	if n == 1 {
		return "disk.img"
	}
	return fmt.Sprintf("disk%d.img", n)
}

// Machine returns a machine that was added.
func (r *Rack) Machine(name string) (Machine, error) {
	var m Machine
	text, err := os.ReadFile(filepath.Join(r.machineDir(name), "machine.json"))
	if errors.Is(err, os.ErrNotExist) {
		return m, fmt.Errorf("rack %s has no machine %q: lab add makes one", r.Name, name)
	}
	if err != nil {
		return m, err
	}
	return m, json.Unmarshal(text, &m)
}

// Machines lists the rack's machines by name.
func (r *Rack) Machines() ([]Machine, error) {
	files, _ := filepath.Glob(r.path("machines", "*", "machine.json")) // fails on a bad pattern only
	var all []Machine
	for _, f := range files {
		m, err := r.Machine(filepath.Base(filepath.Dir(f)))
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return all, nil
}

func (r *Rack) machineDir(name string) string { return r.path("machines", name) }

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
