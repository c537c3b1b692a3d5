package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"provision.internal/host"
)

// inventory describes the machine from proc and sys. What a machine does not
// tell stays empty.
func (s *System) inventory(boot host.MAC) host.Inventory {
	const dmi = "/sys/class/dmi/id"
	inv := host.Inventory{
		Vendor:  s.read(dmi, "sys_vendor"),
		Product: s.read(dmi, "product_name"),
		Serial:  meaningful(s.read(dmi, "product_serial")),
		UUID:    s.uuid(),
		UEFI:    s.uefi(),
		Arch:    xbpsArch(runtime.GOARCH),
		Memory:  s.memory(),
		Disks:   s.disks(boot),
		NICs:    s.nics(boot),
	}
	inv.CPU, inv.CPUs = s.cpu()
	return inv
}

func (s *System) uuid() host.UUID {
	u, err := host.ParseUUID(s.read("/sys/class/dmi/id/product_uuid"))
	if err != nil {
		return host.UUID{}
	}
	return u
}

func (s *System) uefi() bool {
	_, err := os.Stat(s.path("/sys/firmware/efi"))
	return err == nil
}

// xbpsArch is the name that XBPS gives to Go's architecture.
func xbpsArch(goarch string) string {
	switch goarch {
	case "amd64":
		return "x86_64"
	case "arm64":
		return "aarch64"
	}
	return goarch
}

// meaningful drops the phrases that vendors leave where a serial belongs.
func meaningful(serial string) string {
	switch strings.ToLower(serial) {
	case "none", "not specified", "to be filled by o.e.m.", "default string", "system serial number", "0", "0123456789":
		return ""
	}
	return serial
}

// cpu returns the model and the number of logical processors.
func (s *System) cpu() (model string, count int) {
	for line := range strings.Lines(s.read("/proc/cpuinfo")) {
		key, value, _ := strings.Cut(line, ":")
		switch strings.TrimSpace(key) {
		case "processor":
			count++
		case "model name":
			model = strings.TrimSpace(value)
		}
	}
	return model, count
}

// memory returns MemTotal in bytes.
func (s *System) memory() uint64 {
	for line := range strings.Lines(s.read("/proc/meminfo")) {
		var kib uint64
		if n, err := fmt.Sscanf(line, "MemTotal: %d kB", &kib); n == 1 && err == nil {
			return kib << 10
		}
	}
	return 0
}

// nics lists the network cards, the boot one marked.
func (s *System) nics(boot host.MAC) []host.NIC {
	var all []host.NIC
	for _, c := range (&network{sys: s}).nics() {
		all = append(all, host.NIC{
			Name: c.name,
			MAC:  c.mac,
			Link: s.read("/sys/class/net", c.name, "carrier") == "1",
			Boot: c.mac == boot,
		})
	}
	return all
}

// partitions lists the kernel names of a disk's partitions in their order.
func (s *System) partitions(disk string) []string {
	found, _ := filepath.Glob(s.path("/sys/block", disk, disk+"*", "partition")) // well-formed
	var names []string
	for _, p := range found {
		names = append(names, filepath.Base(filepath.Dir(p)))
	}
	slices.SortFunc(names, func(a, b string) int {
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
	return names
}
