package installer

// Paths on the installed system. The agent writes the first ones when it
// installs; the first boot writes and removes the rest.
const (
	AgentBinary = "/usr/libexec/provision-agent"
	EnrolFile   = "/etc/provision/enrol.json" // FirstBoot and the host's name; 0600, deleted after use

	FirstBootService = "provision-firstboot"
	ServiceDir       = "/etc/sv"
	EnabledDir       = "/etc/runit/runsvdir/default"

	HostKey         = "/etc/nomad.d/tls/host.key" // made by the machine itself, 0600
	HostCertificate = "/etc/nomad.d/tls/host.pem"
	HostCA          = "/etc/provision/ca.pem" // the appliance's authority, which signed it; Nomad's is another one

	NomadService = "nomad"
	NomadID      = "/var/lib/nomad/client/client-id" // made by the machine itself, like the next, 0600
	NomadSecret  = "/var/lib/nomad/client/secret-id"
	StageFile    = "/var/lib/provision/stage" // the Stage that the host has
	EnrolledMark = "/var/lib/provision/enrolled"
)

// EnrolConfig is the content of EnrolFile.
type EnrolConfig struct {
	Host string `json:"host"`
	FirstBoot
}
