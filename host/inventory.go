package host

// Inventory is the hardware as the agent found it. Sizes are in bytes.
type Inventory struct {
	Vendor  string `json:"vendor,omitempty"` // SMBIOS
	Product string `json:"product,omitempty"`
	Serial  string `json:"serial,omitempty"`
	UUID    UUID   `json:"uuid,omitzero"`
	UEFI    bool   `json:"uefi"`
	Arch    string `json:"arch"` // as XBPS calls it: x86_64, aarch64
	CPU     string `json:"cpu,omitempty"`
	CPUs    int    `json:"cpus"`
	Memory  uint64 `json:"memory"`
	Disks   []Disk `json:"disks"`
	NICs    []NIC  `json:"nics"`
}

// Disk is one whole disk.
type Disk struct {
	Name     string `json:"name"`           // kernel name of this boot: nvme0n1
	Path     string `json:"path,omitempty"` // stable: /dev/disk/by-path name, without the folder
	Serial   string `json:"serial,omitempty"`
	WWN      string `json:"wwn,omitempty"`
	Model    string `json:"model,omitempty"`
	Size     uint64 `json:"size"`
	Rotating bool   `json:"rotating,omitempty"`
	Foreign  string `json:"foreign,omitempty"` // a signature that forbids wiping: "LVM2_member on sda2"
}

// NIC is one network interface with a permanent address.
type NIC struct {
	Name string `json:"name"`
	MAC  MAC    `json:"mac"`
	Link bool   `json:"link"`
	Boot bool   `json:"boot,omitempty"` // the one that the machine booted from
}

// ID is what names d in grants and plans: its serial, or, for a disk that has
// none (a plain virtio disk), its WWN, or else its path. It is empty when there
// is nothing stable to name it by: such a disk is never written.
func (d Disk) ID() string {
	for _, id := range []string{d.Serial, d.WWN, d.Path} {
		if id != "" {
			return id
		}
	}
	return ""
}
