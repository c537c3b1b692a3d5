package router

import (
	"fmt"
	"slices"
)

func (v *validator) ports() {
	seen := map[string]int{}
	for i, p := range v.cfg.Ports {
		at := fmt.Sprintf("ports[%d]", i)
		switch first, again := seen[p.Name]; {
		case !interfaceName.MatchString(p.Name):
			v.fault(at+".name", "%q cannot be a name: %s", p.Name, interfaceNameForm)
		case again && v.cfg.Ports[first].Role != p.Role:
			v.fault(at+".name", "%s is %s by ports[%d] already: a port has one role", p.Name, v.cfg.Ports[first].Role, first)
		case again:
			v.fault(at+".name", "%s is named by ports[%d] too", p.Name, first)
		case v.isVLAN(p.Name) || p.Name == v.cfg.Bridge:
			v.fault(at+".name", "%s is the name of a VLAN or of the bridge: give the port's own, such as ether1", p.Name)
		}
		if _, again := seen[p.Name]; !again {
			seen[p.Name] = i
		}
		v.port(at, p)
	}
}

func (v *validator) port(at string, p Port) {
	if !slices.Contains([]Role{Uplink, Trunk, Access, Host}, p.Role) {
		v.fault(at+".role", "%q is not one of %s, %s, %s, %s", p.Role, Uplink, Trunk, Access, Host)
		return
	}
	if p.VLAN != "" && !v.isVLAN(p.VLAN) {
		v.fault(at+".vlan", "there is no VLAN %q", p.VLAN)
	}
	switch {
	case p.Role == Host && p.VLAN != "":
		v.fault(at+".vlan", "a host's port follows its host through stages: leave the VLAN out, or give the port the role %s", Access)
	case (p.Role == Uplink || p.Role == Access) && p.VLAN == "":
		v.fault(at+".vlan", "is missing: name the VLAN that the port is in")
	}
	if p.Role != Trunk && len(p.Tagged) > 0 {
		v.fault(at+".tagged", "only a %s has tagged VLANs", Trunk)
		return
	}
	if p.Role == Trunk && len(p.Tagged) == 0 {
		v.fault(at+".tagged", "is missing: list the VLANs of the %s", Trunk)
	}
	for j, name := range p.Tagged {
		one := fmt.Sprintf("%s.tagged[%d]", at, j)
		switch {
		case !v.isVLAN(name):
			v.fault(one, "there is no VLAN %q", name)
		case name == p.VLAN:
			v.fault(one, "%s is untagged on this port already", name)
		case slices.Contains(p.Tagged[:j], name):
			v.fault(one, "%s is listed twice", name)
		}
	}
}

// stages are needed as soon as there are ports that follow hosts.
func (v *validator) stages() {
	s := v.cfg.Stages
	hosts := slices.ContainsFunc(v.cfg.Ports, func(p Port) bool { return p.Role == Host })
	for _, stage := range []struct{ name, vlan string }{{"idle", s.Idle}, {"install", s.Install}, {"production", s.Production}} {
		switch {
		case stage.vlan == "" && hosts:
			v.fault("stages."+stage.name, "is missing: name the VLAN of host ports at this stage")
		case stage.vlan != "" && !v.isVLAN(stage.vlan):
			v.fault("stages."+stage.name, "there is no VLAN %q", stage.vlan)
		}
	}
}

func (v *validator) isVLAN(name string) bool {
	_, ok := v.cfg.VLAN(name)
	return ok
}
