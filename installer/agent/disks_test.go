package agent

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"provision.internal/host"
)

// link places a device in sysfs as the kernel does: the block directory is a
// link to where the device is plugged in.
func (m *machine) link(name, device string) string {
	m.t.Helper()
	dir := "/sys/devices/" + device + "/block/" + name
	if err := os.MkdirAll(filepath.Join(m.root, dir), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(m.root, "sys/block"), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.Symlink("../devices/"+device+"/block/"+name, filepath.Join(m.root, "sys/block", name)); err != nil {
		m.t.Fatal(err)
	}
	m.put("/dev/"+name, "")
	return "/sys/block/" + name
}

// One disk of each kind, with the attributes that its driver really has.
func TestDisks(t *testing.T) {
	m := newMachine(t)
	d := m.link("vda", "pci0000:00/0000:00:04.0/virtio1")
	m.put(d+"/size", "6291456")
	m.put(d+"/serial", "DISK1\n")
	m.put(d+"/queue/rotational", "1")

	d = m.link("vdb", "pci0000:00/0000:00:05.0/virtio2") // QEMU without serial=
	m.put(d+"/size", "2048")
	m.put(d+"/serial", "")

	d = m.link("nvme0n1", "pci0000:00/0000:00:1d.0/0000:3d:00.0/nvme/nvme0")
	m.put(d+"/size", "1000215216")
	m.put(d+"/wwid", "eui.0025385991b1a2c3")
	m.put(d+"/device/serial", "S4EVNF0M  \n")
	m.put(d+"/device/model", "Samsung SSD 970 EVO Plus 500GB          \n")
	m.put(d+"/queue/rotational", "0")

	d = m.link("sda", "pci0000:00/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0")
	m.put(d+"/size", "3907029168")
	m.put(d+"/device/vpd_pg80", "\x00\x80\x00\x14     WD-WCC4M0123456")
	m.put(d+"/device/wwid", "naa.50014ee2b1234567")
	m.put(d+"/device/model", "WDC WD20EZRZ\n")
	m.put(d+"/queue/rotational", "1")

	d = m.link("sdb", "pci0000:00/0000:00:1f.2/ata2/host1/target1:0:0/1:0:0:0") // QEMU: a made-up wwid
	m.put(d+"/size", "4096")
	m.put(d+"/device/wwid", "t10.ATA     QEMU HARDDISK                           QM00003")

	for port, number := range map[string]string{"ata1": "1", "ata2": "2"} {
		m.put("/sys/class/ata_port/"+port+"/port_no", number+"\n")
	}

	d = m.link("sdf", "pci0000:00/0000:00:06.0/virtio3/host2/target2:0:1/2:0:1:0")
	m.put(d+"/size", "4096")
	d = m.link("sdg", "pci0000:00/0000:00:14.0/usb2/2-1/2-1.3/2-1.3:1.0/host7/target7:0:0/7:0:0:0")
	m.put(d+"/size", "4096")

	d = m.link("mmcblk0", "pci0000:00/0000:00:1c.0/mmc_host/mmc0/mmc0:0001")
	m.put(d+"/size", "61071360")
	m.put(d+"/device/serial", "0x3ca72b11")
	m.put(d+"/device/name", "DF4032")

	// Never disks to install on.
	for name, attribute := range map[string]string{"sdc": "removable", "sdd": "ro", "nvme0c0n1": "hidden"} {
		d = m.link(name, "pci0000:00/0000:00:14.0/"+name)
		m.put(d+"/size", "1000")
		m.put(d+"/"+attribute, "1\n")
	}
	for _, name := range []string{"loop0", "ram0", "dm-0", "md127", "sr0", "zram0", "mmcblk0boot0", "nbd0"} {
		d = m.link(name, "virtual/"+name)
		m.put(d+"/size", "1000")
	}
	d = m.link("sde", "pci0000:00/0000:00:15.0/sde") // a card reader without a card
	m.put(d+"/size", "0")

	want := []host.Disk{
		{Name: "mmcblk0", Path: "pci-0000:00:1c.0", Serial: "0x3ca72b11", Model: "DF4032", Size: 61071360 * 512},
		{Name: "nvme0n1", Path: "pci-0000:3d:00.0-nvme-1", Serial: "S4EVNF0M", WWN: "eui.0025385991b1a2c3", Model: "Samsung SSD 970 EVO Plus 500GB", Size: 1000215216 * 512},
		{Name: "sda", Path: "pci-0000:00:1f.2-ata-1", Serial: "WD-WCC4M0123456", WWN: "naa.50014ee2b1234567", Model: "WDC WD20EZRZ", Size: 3907029168 * 512, Rotating: true},
		{Name: "sdb", Path: "pci-0000:00:1f.2-ata-2", Size: 4096 * 512},
		{Name: "sdf", Path: "pci-0000:00:06.0-scsi-0:1:0", Size: 4096 * 512},
		{Name: "sdg", Path: "pci-0000:00:14.0-usb-1.3:1.0-scsi-0:0:0", Size: 4096 * 512},
		{Name: "vda", Path: "pci-0000:00:04.0", Serial: "DISK1", Size: 6291456 * 512, Rotating: true},
		{Name: "vdb", Path: "pci-0000:00:05.0", Size: 2048 * 512},
	}
	if d := cmp.Diff(want, m.system().disks(testMAC)); d != "" {
		t.Errorf("disks differ (-want +got):\n%s", d)
	}
}

// Identity is the same in inventory, grant and plan; a plain virtio disk is
// named by its slot.
func TestFindDiskByPath(t *testing.T) {
	m := newMachine(t)
	d := m.link("vdb", "pci0000:00/0000:00:05.0/virtio2")
	m.put(d+"/size", "2048")
	inventory := m.system().inventory(testMAC)
	if len(inventory.Disks) != 1 {
		t.Fatalf("the inventory has the disks %+v", inventory.Disks)
	}
	id := inventory.Disks[0].ID()
	if got, err := m.system().findDisks(id, testMAC); err != nil || got[0].Name != "vdb" {
		t.Errorf("findDisks(%q) = %v, %v; want vdb", id, got, err)
	}
	if _, err := m.system().findDisks("", testMAC); err == nil {
		t.Error("findDisk of nothing found something")
	}
}

func TestInventory(t *testing.T) {
	m := newMachine(t)
	const dmi = "/sys/class/dmi/id/"
	m.put(dmi+"sys_vendor", "Example Ltd\n")
	m.put(dmi+"product_name", "Model 1\n")
	m.put(dmi+"product_serial", "To Be Filled By O.E.M.\n")
	m.put(dmi+"product_uuid", "4c4c4544-0042-3510-8052-b4c04f4e3332\n")
	m.put("/sys/firmware/efi/fw_platform_size", "64")
	m.put("/proc/cpuinfo", "processor\t: 0\nmodel name\t: Fast CPU\n\nprocessor\t: 1\nmodel name\t: Fast CPU\n")
	m.put("/proc/meminfo", "MemTotal:       16314892 kB\nMemFree:        1 kB\n")
	for name, mac := range map[string]string{"eth0": testMAC.String(), "eth1": "52:54:00:00:00:02", "lo": "00:00:00:00:00:00", "br0": "52:54:00:00:00:03"} {
		m.put("/sys/class/net/"+name+"/address", mac)
		m.put("/sys/class/net/"+name+"/type", "1")
		m.put("/sys/class/net/"+name+"/ifindex", "2")
	}
	m.put("/sys/class/net/eth0/device/vendor", "")
	m.put("/sys/class/net/eth1/device/vendor", "")
	m.put("/sys/class/net/eth0/carrier", "1\n")
	got := m.system().inventory(testMAC)
	uuid, err := host.ParseUUID("4c4c4544-0042-3510-8052-b4c04f4e3332")
	if err != nil {
		t.Fatal(err)
	}
	want := host.Inventory{
		Vendor: "Example Ltd", Product: "Model 1", UUID: uuid, UEFI: true, Arch: got.Arch, CPU: "Fast CPU", CPUs: 2, Memory: 16314892 << 10,
		NICs: []host.NIC{{Name: "eth0", MAC: testMAC, Link: true, Boot: true}, {Name: "eth1", MAC: host.MAC{0x52, 0x54, 0, 0, 0, 2}}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("the inventory differs (-want +got):\n%s", d)
	}
	if a := xbpsArch("amd64") + xbpsArch("arm64"); a != "x86_64aarch64" {
		t.Errorf("architectures are %s", a)
	}
}
