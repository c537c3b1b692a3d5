package installer

// Where the appliance's overlay lies in the installer's initrd.
const (
	OverlayFile = "/etc/provision/agent.json" // an Overlay
	OverlayCA   = "/etc/provision/ca.pem"     // the only authority that the agent trusts
)

// Overlay tells the agent where its appliance is. It is public: everyone on the
// network can fetch the initrd.
type Overlay struct {
	URL      string    `json:"url"`  // https://ADDRESS:PORT, the agent's protocol
	HTTP     string    `json:"http"` // http://ADDRESS:PORT, files and the time
	Userland *Userland `json:"userland,omitempty"`
}

// Userland is the archive (tar in zstd) with the tools that the install runs.
// The small initrd holds the agent and drivers only, so that hello comes early;
// nil means that the initrd has the tools already.
type Userland struct {
	URL    string `json:"url"`
	SHA256 string `json:"sha256"` // hex
	Size   int64  `json:"size"`
}
