package lab

import (
	"context"
	"fmt"
	"os"
	"slices"
)

// Debian's firmware files.
const (
	ovmfCode = "/usr/share/OVMF/OVMF_CODE_4M.fd"
	ovmfVars = "/usr/share/OVMF/OVMF_VARS_4M.fd"
	biosROM  = "/usr/lib/ipxe/qemu/pxe-virtio.rom"
)

// consoleLog is the file in a machine's folder, where QEMU runs, with what the
// serial port said.
const consoleLog = "console.log"

func (r *Rack) consoleSocket(machine string) string { return r.socket(machine + ".console") }
func (r *Rack) monitorSocket(machine string) string { return r.socket(machine + ".monitor") }

// arguments is QEMU's command line for m, run in the machine's folder. The
// network comes before the disk at every boot, as an operator sets it in the
// firmware.
func (r *Rack) arguments(m Machine, accel Acceleration) []string {
	args := append(m.board(accel),
		"-name", m.Name,
		"-uuid", m.UUID.String(),
		"-m", fmt.Sprint(m.Memory), "-smp", fmt.Sprint(m.CPUs),
		"-nodefaults", "-display", "none", "-vga", "none",
		"-chardev", "socket,id=console,path="+r.consoleSocket(m.Name)+",server=on,wait=off,logfile="+consoleLog+",logappend=on",
		"-serial", "chardev:console",
		"-qmp", "unix:"+r.monitorSocket(m.Name)+",server=on,wait=off",
		"-netdev", "tap,id=net0,ifname="+m.tap()+",script=no,downscript=no",
	)

	card := "virtio-net-pci,netdev=net0,bootindex=1,mac=" + m.MAC.String()
	if m.Firmware == BIOS {
		card += ",disable-legacy=on,romfile=" + biosROM // the ROM is for the modern device's ID only
	} else {
		code, _ := m.Firmware.flash()
		args = append(args,
			"-drive", "if=pflash,unit=0,format=raw,readonly=on,file="+code,
			"-drive", "if=pflash,unit=1,format=raw,file=vars.fd",
			// One way to boot from the network, and no IPv6 in a rack that has none.
			"-fw_cfg", "name=opt/org.tianocore/IPv6PXESupport,string=no",
			"-fw_cfg", "name=opt/org.tianocore/IPv4PXESupport,string="+yesNo(!m.HTTP),
		)
		card += ",romfile=" // EDK2 has a driver of its own; the ROM would load Debian's iPXE first
	}
	args = append(args, "-device", card)

	port := 0 // of the SATA controller: two channels, two disks each
	for i, kind := range m.disks() {
		n := i + 1
		device := map[DiskKind]string{
			NVMe: "nvme", Virtio: "virtio-blk-pci", SATA: fmt.Sprintf("ide-hd,bus=ide.%d,unit=%d", port%2, port/2),
		}[kind]
		if kind == SATA {
			port++
		}
		if n == m.Pulled {
			continue
		}
		args = append(args,
			"-drive", fmt.Sprintf("if=none,id=disk%d,file=%s,format=raw,cache=unsafe,discard=unmap", n, diskImage(n)),
			"-device", fmt.Sprintf("%s,drive=disk%d,bootindex=%d,serial=%s", device, n, n+1, m.SerialOf(n)))
	}
	return args
}

// board is the program that emulates m's computer, with its processor.
func (m Machine) board(accel Acceleration) []string {
	if m.Firmware == ARM64 {
		return arm64Board()
	}
	name := "q35"
	if slices.Contains(m.disks(), SATA) {
		name = "pc" // has the controller that SATA means here
	}
	// Without graphics SeaBIOS speaks on the serial port.
	return append([]string{"qemu-system-x86_64", "-machine", name + ",graphics=off"}, accel.arguments()...)
}

// flash names the firmware's code and its empty variables; nothing for a BIOS,
// which QEMU brings itself.
func (f Firmware) flash() (code, vars string) {
	switch f {
	case UEFI:
		return ovmfCode, ovmfVars
	case ARM64:
		return aavmfCode, aavmfVars
	}
	return "", ""
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// PowerOn starts a machine.
func (r *Rack) PowerOn(ctx context.Context, name string) error {
	m, err := r.Machine(name)
	if err != nil {
		return err
	}
	if r.Powered(name) {
		return fmt.Errorf("machine %s is on already", name)
	}
	accel, err := r.acceleration(ctx)
	if err != nil {
		return err
	}
	dir := r.machineDir(name)
	for _, sock := range []string{r.consoleSocket(name), r.monitorSocket(name)} {
		_ = os.Remove(sock) // left by a machine that lost its power; QEMU names any other trouble
	}
	if err := r.Start("machine-"+name, dir, nil, r.Inside(r.arguments(m, accel)...)...); err != nil {
		return err
	}
	// It answers once every device of it is there.
	return r.await(ctx, "machine-"+name, func() error { return monitor(ctx, r.monitorSocket(name), "query-status") })
}

// PowerOff takes the machine's power away at once: its disk and firmware
// variables stay as they are.
func (r *Rack) PowerOff(ctx context.Context, name string) error {
	if _, err := r.Machine(name); err != nil {
		return err
	}
	return r.Kill(ctx, "machine-"+name)
}

// PowerCycle takes the power away and gives it back.
func (r *Rack) PowerCycle(ctx context.Context, name string) error {
	if err := r.PowerOff(ctx, name); err != nil {
		return err
	}
	return r.PowerOn(ctx, name)
}

// Powered reports whether the machine runs.
func (r *Rack) Powered(name string) bool { return r.Running("machine-" + name) }
