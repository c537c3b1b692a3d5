package ports

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"provision.internal/host"
	"provision.internal/router"
	"provision.internal/router/ros"
)

// What callers branch on.
var (
	// ErrNotFound: no port of the bridge has heard of the machine lately.
	ErrNotFound = errors.New("not found on any port")

	// ErrAmbiguous: the port cannot be called the machine's own.
	ErrAmbiguous = errors.New("ambiguous")

	// ErrNotMoved: the router took the change and shows another value.
	ErrNotMoved = errors.New("not moved")
)

// Ports are the ports of one router. Device and Config must be set; Config must
// be valid.
type Ports struct {
	Device *ros.Device
	Config router.Config

	looks looks
}

// ForHosts returns nil when port is one whose VLAN follows its host; otherwise an
// error that says what the port is.
func (p *Ports) ForHosts(port string) error {
	switch c, ok := p.Config.Port(port); {
	case !ok:
		return fmt.Errorf("the configuration's router.ports has no port %q", port)
	case c.Role != router.Host:
		return fmt.Errorf("port %s is no port for hosts: its role is %s", port, c.Role)
	}
	return nil
}

// vlan is the name of the VLAN for stage.
func (p *Ports) vlan(stage host.Stage) string {
	switch stage {
	case host.StageInstall:
		return p.Config.Stages.Install
	case host.StageProduction:
		return p.Config.Stages.Production
	}
	return p.Config.Stages.Idle
}

// serves says what a port with this pvid is for.
func (p *Ports) serves(pvid string) host.PortServes {
	at := slices.IndexFunc(p.Config.VLANs, func(v router.VLAN) bool { return strconv.Itoa(v.ID) == pvid })
	if at < 0 {
		return host.PortServes{VLAN: "VLAN " + pvid}
	}
	s := host.PortServes{VLAN: p.Config.VLANs[at].Name}
	for _, stage := range []host.Stage{host.StageIdle, host.StageInstall, host.StageProduction} {
		if p.vlan(stage) == s.VLAN {
			s.Stages = append(s.Stages, stage)
		}
	}
	return s
}
