package images

import "strings"

// The drivers of the installer, by the paths of the kernel's source tree. A
// final slash means the whole folder. What they depend on comes along.

// bootDrivers are in the boot initrd: what finds the network and the disks
// before hello, and a console to type on.
var bootDrivers = []string{
	"drivers/virtio/", "drivers/net/virtio_net", "drivers/block/virtio_blk", "drivers/scsi/virtio_scsi", "drivers/char/hw_random/virtio-rng",
	"drivers/hv/hv_vmbus", "drivers/net/hyperv/", "drivers/scsi/hv_storvsc", "drivers/net/vmxnet3/", "drivers/scsi/vmw_pvscsi",
	"drivers/net/xen-netfront", "drivers/block/xen-blkfront",
	"drivers/net/ethernet/", "drivers/net/phy/", "drivers/net/mdio/",
	"drivers/net/usb/r8152", "drivers/net/usb/ax88179_178a", "drivers/net/usb/asix", "drivers/net/usb/cdc_ether", "drivers/net/usb/cdc_ncm", "drivers/net/usb/smsc95xx", "drivers/net/usb/lan78xx",
	"net/packet/af_packet", // the agent's DHCP client
	"drivers/nvme/host/nvme", "drivers/pci/controller/vmd", "drivers/pci/controller/pci-hyperv", "drivers/ata/", "drivers/mmc/",
	"drivers/scsi/sd_mod", "drivers/scsi/megaraid/", "drivers/scsi/mpt3sas/", "drivers/scsi/mpi3mr/", "drivers/scsi/aacraid/", "drivers/scsi/smartpqi/",
	"drivers/scsi/hpsa", "drivers/scsi/isci/", "drivers/scsi/mvsas/", "drivers/scsi/pm8001/", "drivers/scsi/arcmsr/", "drivers/scsi/3w-sas", "drivers/scsi/3w-9xxx",
	"drivers/message/fusion/",
	"drivers/usb/host/", "drivers/usb/storage/usb-storage", "drivers/usb/storage/uas", "drivers/hid/hid-generic", "drivers/hid/usbhid/",
	"fs/efivarfs/",
}

// notBoot are parts of the folders above that no machine boots from: switch
// chips and their like, of several megabytes.
var notBoot = []string{
	"drivers/net/ethernet/mellanox/mlxsw/", "drivers/net/ethernet/netronome/", "drivers/net/ethernet/microchip/",
	"drivers/net/ethernet/marvell/prestera/", "drivers/mmc/host/of_mmc_spi", "drivers/ata/pata_legacy",
}

// lateDrivers come with the userland: what the install itself uses.
var lateDrivers = []string{
	"fs/ext4/", "fs/xfs/", "fs/btrfs/", "fs/fat/", "fs/isofs/",
	"fs/nls/nls_cp437", "fs/nls/nls_ascii", "fs/nls/nls_iso8859-1", "fs/nls/nls_utf8",
	"drivers/md/", "drivers/block/loop", "crypto/crc32c_generic",
	// What LUKS is made with: ciphers, hashes, and the way by which cryptsetup asks for them.
	"crypto/xts", "crypto/ecb", "crypto/cbc", "crypto/essiv", "crypto/aes_generic", "crypto/sha256_generic", "crypto/sha512_generic",
	"crypto/algif_skcipher", "crypto/algif_hash",
	"arch/x86/crypto/aesni-intel", "arch/x86/crypto/sha256-ssse3", "arch/x86/crypto/sha512-ssse3", "arch/arm64/crypto/",
}

// companions are modules that others ask the kernel for at run time, when no
// modprobe may be there to answer. They count as dependencies.
var companions = map[string][]string{
	"ext4":      {"crc32c_generic"},
	"xfs":       {"crc32c_generic"},
	"libcrc32c": {"crc32c_generic"},
	"vfat":      {"nls_cp437", "nls_ascii", "nls_iso8859_1", "nls_utf8"},
}

// ignored folders hold nothing that any of the above depends on in the kernels that we
// have seen; their modules are not looked at unless one is missed.
var ignored = []string{
	"sound/", "drivers/gpu/", "drivers/media/", "drivers/net/wireless/", "drivers/iio/", "drivers/staging/",
	"drivers/infiniband/", "drivers/comedi/", "drivers/bluetooth/", "drivers/isdn/", "drivers/hwmon/",
}

// listed reports whether the module file (kernel/…/name.ko*) is in list.
func listed(file string, list []string) bool {
	file, _, _ = strings.Cut(strings.TrimPrefix(file, "kernel/"), ".ko")
	for _, l := range list {
		if file == l || strings.HasSuffix(l, "/") && strings.HasPrefix(file, l) {
			return true
		}
	}
	return false
}
