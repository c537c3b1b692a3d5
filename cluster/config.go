package cluster

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"provision.internal/nomad"
)

// What the anonymous policy may be.
const (
	AnonymousNone = "none" // who shows no token sees nothing
	AnonymousRead = "read" // who shows no token sees everything but secrets and logs
)

// Config is what the operator declares about the cluster. With Servers it is
// founded; without, policies and pools of the cluster that the section nomad
// names are kept, with the token in ManagementTokenFile.
type Config struct {
	Servers     []string `mapstructure:"servers"`     // 1, 3 or 5 names of hosts, or the appliance's own
	Anonymous   string   `mapstructure:"anonymous"`   // none or read
	Enforcement string   `mapstructure:"enforcement"` // of introduction, by servers that know it: strict, warn, none
	Authority   Files    `mapstructure:"authority"`   // the operator's; the appliance's own when empty
	Policies    []Policy `mapstructure:"policies"`
	Pools       []Pool   `mapstructure:"pools"`
	// ManagementTokenFile replaces the sealed bootstrap token for policies and
	// pools; a cluster that was not founded here needs it for them.
	ManagementTokenFile string `mapstructure:"management_token_file"`
}

// Files are a certificate and its key in PEM.
type Files struct {
	Certificate string `mapstructure:"certificate"`
	Key         string `mapstructure:"key"`
}

// Policy is an ACL policy. With Job it belongs to that job's tasks alone.
type Policy struct {
	Name        string `mapstructure:"name"`
	Description string `mapstructure:"description"`
	Rules       string `mapstructure:"rules"`      // HCL
	RulesFile   string `mapstructure:"rules_file"` // in place of Rules
	Job         *Job   `mapstructure:"job"`
}

// Job names the job, and in it the group and task, that a policy is tied to.
type Job struct {
	Namespace string `mapstructure:"namespace"` // default when empty
	ID        string `mapstructure:"id"`
	Group     string `mapstructure:"group"`
	Task      string `mapstructure:"task"`
}

// Pool is a node pool.
type Pool struct {
	Name        string `mapstructure:"name"`
	Description string `mapstructure:"description"`
}

// Founds reports whether a cluster is founded rather than adopted.
func (c Config) Founds() bool { return len(c.Servers) > 0 }

var (
	policyName = regexp.MustCompile(`^[A-Za-z0-9-]{1,128}$`)
	poolName   = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)
)

// Validate reports every fault at once. Each message begins with the key's
// path; path is the section's own, without a final dot. address tells the
// address of a machine by its name, if it is known.
func (c Config) Validate(path string, address func(name string) (netip.Addr, bool)) error {
	var faults []error
	fault := func(key, format string, args ...any) {
		faults = append(faults, fmt.Errorf("%s.%s: "+format, append([]any{path, key}, args...)...))
	}
	switch len(c.Servers) {
	case 0, 1, 3, 5:
	default:
		fault("servers", "%d servers cannot agree better than one less: name 1, 3 or 5", len(c.Servers))
	}
	for i, name := range c.Servers {
		key := fmt.Sprintf("servers[%d]", i)
		if slices.Index(c.Servers, name) < i {
			fault(key, "%s is named twice", name)
		} else if a, known := address(name); !known {
			fault(key, "there is no host %q: name one of hosts, or the appliance itself by server.name", name)
		} else if !a.IsValid() {
			fault(key, "%s has no address: give it one in hosts, because the others must find it", name)
		}
	}
	if !slices.Contains([]string{"", AnonymousNone, AnonymousRead}, c.Anonymous) {
		fault("anonymous", "%q is neither none nor read", c.Anonymous)
	}
	if !slices.Contains([]string{"", "strict", "warn", "none"}, c.Enforcement) {
		fault("enforcement", "%q is none of strict, warn and none", c.Enforcement)
	}
	if c.Authority != (Files{}) {
		if _, err := OpenAuthority(c.Authority.Certificate, c.Authority.Key, time.Now); err != nil {
			fault("authority", "%v", err)
		}
	}
	if f := c.ManagementTokenFile; f != "" {
		switch info, err := os.Stat(f); {
		case err != nil:
			fault("management_token_file", "%v", err)
		case info.Mode().Perm()&0o077 != 0:
			fault("management_token_file", "others than its owner may read %s: chmod 600 it", f)
		}
	}
	names := map[string]bool{}
	for i, p := range c.Policies {
		key := fmt.Sprintf("policies[%d]", i)
		if names[p.Name] {
			fault(key+".name", "%s is named twice", p.Name)
		}
		names[p.Name] = true
		if err := p.validate(); err != nil {
			fault(key, "%v", err)
		}
	}
	names = map[string]bool{}
	for i, p := range c.Pools {
		key := fmt.Sprintf("pools[%d].name", i)
		switch {
		case names[p.Name]:
			fault(key, "%s is named twice", p.Name)
		case p.Name == nomad.DefaultPool, p.Name == "all":
			fault(key, "%s is a pool of Nomad's own: leave it out", p.Name)
		case !poolName.MatchString(p.Name):
			fault(key, "%q is no name of a pool: want letters, digits, - and _, at most 128", p.Name)
		}
		names[p.Name] = true
	}
	return errors.Join(faults...)
}

func (p Policy) validate() error {
	switch {
	case p.Name == anonymousPolicy:
		return errors.New("name: the anonymous policy is what the key anonymous says")
	case p.Name == appliancePolicy:
		return fmt.Errorf("name: %s is the appliance's own policy: choose another name", appliancePolicy)
	case !policyName.MatchString(p.Name):
		return fmt.Errorf("name: %q is no name of a policy: want letters, digits and -, at most 128", p.Name)
	case p.Job != nil && p.Job.ID == "":
		return errors.New("job.id: is missing: name the job that the policy is tied to")
	case p.Job != nil && p.Job.Task != "" && p.Job.Group == "":
		return errors.New("job.group: is missing: a task is found in its group")
	case p.Rules != "" && p.RulesFile != "":
		return errors.New("rules_file: rules are there, too: give one of the two")
	}
	rules, err := p.rules()
	if err != nil {
		return err
	}
	if rules == "" {
		return errors.New("rules: is missing: give the policy in HCL")
	}
	if _, diags := hclsyntax.ParseConfig([]byte(rules), cmp.Or(p.RulesFile, "rules"), hcl.InitialPos); diags.HasErrors() {
		return fmt.Errorf("rules: %w", diags.Errs()[0])
	}
	return nil
}

// rules returns the text of the policy as it is compared: without space around.
func (p Policy) rules() (string, error) {
	if p.RulesFile == "" {
		return strings.TrimSpace(p.Rules), nil
	}
	b, err := os.ReadFile(p.RulesFile)
	if err != nil {
		return "", fmt.Errorf("rules_file: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

// Server is one machine of Config.Servers.
type Server struct {
	Name       string
	Address    netip.Addr
	Datacenter string // the section nomad's when empty
	// Certificate and Key are where the machine has its own, in PEM.
	Certificate, Key string
}

// Derive completes n, the section nomad, by what follows from founding: where
// the servers are, by which authority (the file caFile) they are known, and that
// they want tokens. An adopted cluster's is left as it is.
func (c Config) Derive(n nomad.Config, servers []Server, caFile string) nomad.Config {
	if !c.Founds() || len(servers) == 0 {
		return n
	}
	n.Address, n.Servers = addresses(servers)[0], nil
	for _, s := range servers {
		n.Servers = append(n.Servers, netip.AddrPortFrom(s.Address, rpcPort).String())
	}
	n.CA, n.Cert, n.Key, n.ServerName, n.TokenFile = caFile, "", "", "", ""
	n.Introduction = c.enforcement() != "none"
	n.ACL = true
	return n
}

func (c Config) enforcement() string { return cmp.Or(c.Enforcement, "strict") }

// addresses are the URLs of the servers' APIs.
func addresses(servers []Server) (urls []string) {
	for _, s := range servers {
		urls = append(urls, "https://"+netip.AddrPortFrom(s.Address, httpPort).String())
	}
	return urls
}
