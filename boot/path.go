package boot

import (
	"fmt"
	"strings"

	"provision.internal/host"
)

// Paths on the HTTP server. They carry no secret: who asks is told by the MAC,
// what it may have by its state and, over TLS, by its tokens.
const (
	ScriptPath = "/ipxe/"     // + MAC: the iPXE script for the host's next step
	GRUBPath   = "/grub/"     // + MAC: the same for GRUB
	LoaderPath = "/nbp/"      // + name: a network boot program
	ImagePath  = "/image/"    // + hash + "/" + name: a boot file that never changes
	RepoPath   = "/void/"     // the XBPS repositories
	AgentPath  = "/agent/v1/" // TLS only: the installer's protocol
	EnrolPath  = "/enrol/v1/" // TLS only: the first boot's protocol

	AutoinstallPath = "/autoinstall/" // + MAC: the configuration of a NETBOOT image's autoinstaller
)

// GRUBConfig is GRUB's first configuration, below the roots of TFTP and HTTP:
// GRUB looks for it where it came from, and Debian's loader has the prefix /grub.
const GRUBConfig = "grub/grub.cfg"

// Loader is the name of the NBP for p, under which TFTP and HTTP serve it; empty
// when there is none. The names are the upstream ones that an operator knows
// from iPXE's and GRUB's packages.
func Loader(p Platform) string {
	switch p {
	case BIOS:
		return "undionly.kpxe"
	case UEFIx64:
		return "snponly.efi"
	case UEFIarm64:
		return "arm64.efi"
	}
	return ""
}

// File is the boot file of the answer to c: an NBP's name for TFTP, its URL
// for UEFI HTTP boot, the script's URL for iPXE; empty for a client that asks for none or whose
// architecture is unknown. base is the plain HTTP server's URL without a final slash.
func File(c Client, base string) string {
	name := Loader(c.Platform)
	switch {
	case !c.PXE || name == "":
		return ""
	case c.IPXE:
		return ScriptURL(base, c.MAC)
	case c.HTTP:
		return base + LoaderPath + name
	}
	return name
}

// ScriptURL is where iPXE on the machine mac finds its script.
func ScriptURL(base string, mac host.MAC) string {
	return base + ScriptPath + strings.ReplaceAll(mac.String(), ":", "-")
}

// AutoinstallURL is where the autoinstaller of a NETBOOT image on the machine mac
// finds its configuration and, below it, asks and tells.
func AutoinstallURL(base string, mac host.MAC) string {
	return base + AutoinstallPath + strings.ReplaceAll(mac.String(), ":", "-")
}

// ImageURL is where a boot file with the SHA-256 hash is served under name.
func ImageURL(base, hash, name string) string {
	return fmt.Sprintf("%s%s%s/%s", base, ImagePath, hash, name)
}
