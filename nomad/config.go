package nomad

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"time"
)

// What Nomad itself calls the things that a configuration leaves out.
const (
	DefaultRegion     = "global"
	DefaultDatacenter = "dc1"
	DefaultNamespace  = "default"
	DefaultPool       = "default"
)

// QuarantineNone in the place of a pool's name leaves quarantine out.
const QuarantineNone = "none"

// What quarantine and loss are when nobody says otherwise.
const (
	DefaultQuarantine = "quarantine"
	DefaultLostAfter  = 15 * time.Minute
)

// Config says where the cluster is and how hosts join it.
type Config struct {
	Address    string `mapstructure:"address"`     // http(s)://HOST:4646 of a server
	TokenFile  string `mapstructure:"token_file"`  // ACL token; read at every request, so that it may be rotated
	CA         string `mapstructure:"ca"`          // PEM file: the cluster's authority
	Cert       string `mapstructure:"cert"`        // PEM file: the appliance's client certificate
	Key        string `mapstructure:"key"`         // PEM file: its key
	ServerName string `mapstructure:"server_name"` // in the server's certificate; server.REGION.nomad when CA is set

	Region     string `mapstructure:"region"`
	Datacenter string `mapstructure:"datacenter"` // of installed hosts
	Namespace  string `mapstructure:"namespace"`  // of the configuration job
	Pool       string `mapstructure:"pool"`       // node pool of installed hosts

	// Quarantine is the node pool of hosts that are not configured yet; QuarantineNone
	// lets them into their own at once.
	Quarantine string        `mapstructure:"quarantine"`
	LostAfter  time.Duration `mapstructure:"lost_after"` // a Ready host whose node is away for longer counts as lost

	Servers      []string `mapstructure:"servers"`      // HOST:4647, as installed hosts reach them
	Job          string   `mapstructure:"job"`          // template of the configuration job; a built-in one when empty
	Introduction bool     `mapstructure:"introduction"` // give each host an introduction token (Nomad 1.11 and later)
	ACL          bool     `mapstructure:"-"`            // the cluster wants tokens: set for one that is founded here
	Docker       bool     `mapstructure:"-"`            // the configuration job runs in a container that has the host: set by the section config
}

func (c Config) region() string     { return cmp.Or(c.Region, DefaultRegion) }
func (c Config) datacenter() string { return cmp.Or(c.Datacenter, DefaultDatacenter) }
func (c Config) namespace() string  { return cmp.Or(c.Namespace, DefaultNamespace) }
func (c Config) pool() string       { return cmp.Or(c.Pool, DefaultPool) }

// Quarantines reports whether hosts are kept apart until they are configured.
func (c Config) Quarantines() bool { return c.Quarantine != QuarantineNone }

// poolOf is the node pool that h is in.
func (c Config) poolOf(h Client) string {
	if h.Quarantine && c.Quarantines() {
		return cmp.Or(c.Quarantine, DefaultQuarantine)
	}
	return cmp.Or(h.Pool, c.pool())
}

func (c Config) serverName() string {
	if c.ServerName != "" || c.CA == "" {
		return c.ServerName
	}
	return "server." + c.region() + ".nomad"
}

// ClientNames are the names that servers which verify names ask of the
// certificate of every client, beside the host's own.
func (c Config) ClientNames() []string { return []string{"client." + c.region() + ".nomad"} }

// poolName is what Nomad takes as a pool's name; empty is the default's.
var poolName = regexp.MustCompile(`^[A-Za-z0-9_-]{0,128}$`)

// Validate reports every fault at once. Each message begins with the key's
// path; path is the section's own, without a final dot.
func (c Config) Validate(path string) error {
	var faults []error
	fault := func(key, format string, args ...any) {
		faults = append(faults, fmt.Errorf("%s.%s: "+format, append([]any{path, key}, args...)...))
	}

	switch u, err := url.Parse(c.Address); {
	case c.Address == "":
		fault("address", "is missing: give a server's URL such as http://10.0.0.2:4646")
	case err != nil, u.Host == "", u.Scheme != "http" && u.Scheme != "https":
		fault("address", "%q is no URL: want http://HOST:4646 or https://HOST:4646", c.Address)
	case u.Scheme == "http" && c.CA != "":
		fault("address", "is http, but %s.ca is set: use https", path)
	}
	for _, f := range []struct{ key, name string }{{"ca", c.CA}, {"cert", c.Cert}, {"key", c.Key}, {"token_file", c.TokenFile}} {
		if f.name == "" {
			continue
		}
		info, err := os.Stat(f.name)
		switch {
		case err != nil:
			fault(f.key, "%v", err)
		case info.IsDir():
			fault(f.key, "%s is a folder", f.name)
		case (f.key == "key" || f.key == "token_file") && info.Mode().Perm()&0o004 != 0:
			fault(f.key, "everybody may read %s: chmod 600 it", f.name)
		}
	}
	if (c.Cert == "") != (c.Key == "") {
		fault("cert", "and %s.key belong together: set both or none", path)
	}
	if len(c.Servers) == 0 {
		fault("servers", "is empty: list the servers as hosts reach them, such as 10.0.0.2:4647")
	}
	for i, s := range c.Servers {
		name, port, err := net.SplitHostPort(s)
		n, numErr := strconv.ParseUint(port, 10, 16)
		if err != nil || name == "" || numErr != nil || n == 0 {
			fault(fmt.Sprintf("servers[%d]", i), "%q is no HOST:PORT such as 10.0.0.2:4647", s)
		}
	}
	switch {
	case !poolName.MatchString(c.Quarantine):
		fault("quarantine", "%q is no name of a node pool: want letters, digits, - and _, or none", c.Quarantine)
	case c.Quarantine == DefaultPool, c.Quarantine == "all", c.Quarantine != "" && c.Quarantine == c.pool():
		fault("quarantine", "%s is a pool that takes work: name another one, or none to leave quarantine out", c.Quarantine)
	}
	if c.LostAfter < 0 {
		fault("lost_after", "%s is negative", c.LostAfter)
	}
	if _, err := loadTemplate(c.Job); err != nil {
		fault("job", "%v", err)
	}
	return errors.Join(faults...)
}
