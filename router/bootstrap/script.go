package bootstrap

import (
	"cmp"
	_ "embed"
	"errors"
	"net/netip"
	"strings"
	"text/template"

	"provision.internal/router"
)

//go:embed netinstall.rsc
var netinstall string

var script = template.Must(template.New("netinstall.rsc").Funcs(template.FuncMap{"quote": router.Quote}).Parse(netinstall))

// certificate is the name of the one that the script makes on the router.
const certificate = "provision"

// ErrNoWayIn: the configuration does not say how a fresh router is reached.
var ErrNoWayIn = errors.New("router.bootstrap is missing: name the port, the VLAN and the two addresses by which a router that was reset is reached")

// Script is what netinstall shall give the router (`netinstall-cli -s FILE`): the
// way in for the appliance alone. It can run again at any time, and does at each
// reset. It holds the password. c must be valid.
func Script(c router.Config, in router.Inputs, password string) (string, error) {
	b := c.Bootstrap
	switch {
	case b.IsZero():
		return "", ErrNoWayIn
	case password == "":
		return "", errors.New("router.password_file: it is empty, and a router without a password is anybody's")
	}
	sources := []string{b.Appliance.String()}
	if in.Appliance.IsValid() && in.Appliance != b.Appliance {
		sources = append(sources, in.Appliance.String())
	}
	var text strings.Builder
	err := script.Execute(&text, map[string]any{
		"Closed": []string{"telnet", "ftp", "www", "www-ssl", "api", "winbox"},
		"From":   strings.Join(sources, "/32,") + "/32", "Sources": sources,
		"User": c.User, "Password": password,
		"Interface": b.Interface, "Name": router.BootstrapVLAN, "VLAN": b.VLAN, "Address": b.Address.String(),
		"Certificate": certificate, "CommonName": cmp.Or(c.Identity, "router"),
	})
	return text.String(), err
}

// hostRoute is the prefix of one address.
func hostRoute(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }
