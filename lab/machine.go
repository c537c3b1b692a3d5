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
	Name     string    `json:"name"`
	Firmware Firmware  `json:"firmware"`
	HTTP     bool      `json:"http,omitempty"` // not with BIOS: HTTP boot instead of PXE
	Disk     DiskKind  `json:"disk"`
	Size     int64     `json:"size"` // of the disk, in bytes
	MAC      host.MAC  `json:"mac"`
	UUID     host.UUID `json:"uuid"`
	Memory   int       `json:"memory"` // MiB
	CPUs     int       `json:"cpus"`
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
func (m Machine) Serial() string { return "LAB-" + m.Name }

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
	if m.Disk == SATA && m.Firmware == ARM64 {
		errs = append(errs, errors.New("the arm64 board has no SATA controller: want nvme or virtio"))
	}
	if !slices.Contains([]DiskKind{NVMe, Virtio, SATA}, m.Disk) {
		errs = append(errs, fmt.Errorf("disk %q: want %s, %s or %s", m.Disk, NVMe, Virtio, SATA))
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
	text, err := json.MarshalIndent(m, "", "\t")
	if err != nil {
		return m, err
	}
	return m, os.WriteFile(filepath.Join(dir, "machine.json"), append(text, '\n'), 0o644)
}

// EmptyDisk gives the machine a new disk, all zeros.
func (r *Rack) EmptyDisk(m Machine) error {
	f, err := os.Create(r.DiskFile(m.Name))
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(m.Size), f.Close())
}

// DiskFile is the raw image that is the machine's disk.
func (r *Rack) DiskFile(name string) string { return filepath.Join(r.machineDir(name), "disk.img") }

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
