package main

import (
	"context"
	"time"

	"github.com/spf13/pflag"

	"provision.internal/host"
	"provision.internal/lab"
)

// machineFlags describe a machine.
type machineFlags struct {
	uefi, bios, arm64, http bool
	mac, uuid               string
	disks                   []string
	memory, cpus            int
}

func (f *machineFlags) add(fl *pflag.FlagSet) {
	fl.BoolVar(&f.uefi, "uefi", false, "OVMF (the default)")
	fl.BoolVar(&f.bios, "bios", false, "SeaBIOS with iPXE's ROM")
	fl.BoolVar(&f.arm64, "arm64", false, "AAVMF on an emulated arm64 board")
	fl.BoolVar(&f.http, "http", false, "UEFI HTTP boot instead of PXE")
	fl.StringArrayVar(&f.disks, "disk", []string{string(lab.NVMe)}, "nvme, virtio or sata; again for each further disk")
	fl.StringVar(&f.mac, "mac", "", "made from the name when empty")
	fl.StringVar(&f.uuid, "uuid", "", "SMBIOS UUID; made from the name when empty")
	fl.IntVar(&f.memory, "memory", 1024, "MiB")
	fl.IntVar(&f.cpus, "cpus", 2, "virtual processors")
}

func (f *machineFlags) machine(name string) (lab.Machine, error) {
	m := lab.Machine{
		Name: name, Firmware: lab.UEFI, HTTP: f.http, Disk: lab.DiskKind(f.disks[0]), Memory: f.memory, CPUs: f.cpus,
	}
	for _, kind := range f.disks[1:] {
		m.More = append(m.More, lab.DiskKind(kind))
	}
	switch {
	case f.bios:
		m.Firmware = lab.BIOS
	case f.arm64:
		m.Firmware = lab.ARM64
	}
	var err error
	if f.mac != "" {
		if m.MAC, err = host.ParseMAC(f.mac); err != nil {
			return m, err
		}
	}
	if f.uuid != "" {
		m.UUID, err = host.ParseUUID(f.uuid)
	}
	return m, err
}

// withLimit bounds ctx when there is a limit.
func withLimit(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	if limit <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, limit)
}
