package lab

// ARM64 is AAVMF on QEMU's board "virt": PXE, or HTTP boot when the machine says
// so.
const ARM64 Firmware = "arm64"

// Debian's firmware files (qemu-efi-aarch64). The board has flash banks of
// exactly their size.
const (
	aavmfCode = "/usr/share/AAVMF/AAVMF_CODE.fd"
	aavmfVars = "/usr/share/AAVMF/AAVMF_VARS.fd"
)

// arm64Board is what differs from a PC. It is always emulated, as a Cortex-A57:
// QEMU's "max" spends its time on pointer authentication.
func arm64Board() []string {
	return []string{"qemu-system-aarch64", "-machine", "virt", "-cpu", "cortex-a57", "-accel", tcgAccelerator}
}
