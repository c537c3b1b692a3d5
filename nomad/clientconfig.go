package nomad

import (
	"cmp"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"
)

// Where things are on an installed host.
const (
	ConfigDir  = "/etc/nomad.d"
	DataDir    = "/var/lib/nomad"
	ClusterCA  = ConfigDir + "/tls/ca.pem"           // the authority of the cluster's servers
	introToken = DataDir + "/client/intro_token.jwt" // read by itself at the client's start
)

// Client is what the Nomad client of one installed host needs to know.
type Client struct {
	Name       string            // host name, and so node name
	Datacenter string            // the configuration's when empty
	Pool       string            // the configuration's when empty
	Meta       map[string]string // keys without dots
	Token      string            // from Introduce; none when empty
	Again      bool              // it has been enrolled before since its installation: its node may live
	Quarantine bool              // it is not configured yet: see Config.Quarantine

	// Network holds the host's address. It must be set when hosts there have no
	// default route, by which Nomad finds its interface otherwise.
	Network netip.Prefix

	// PEM files on the host, used when the configuration has an authority.
	Certificate, Key string
}

// File is placed on the installed host, owned by root.
type File struct {
	Path    string
	Mode    fs.FileMode
	Content string
}

// ClientConfig returns the files that make h a client of the cluster.
func (c Config) ClientConfig(h Client) ([]File, error) {
	if err := literal(h, c); err != nil {
		return nil, fmt.Errorf("client configuration of %s: %w", h.Name, err)
	}
	file := hclwrite.NewEmptyFile()
	b := file.Body()
	text := func(b *hclwrite.Body, key, value string) { b.SetAttributeValue(key, cty.StringVal(value)) }
	yes := func(b *hclwrite.Body, key string, value bool) { b.SetAttributeValue(key, cty.BoolVal(value)) }
	block := func(b *hclwrite.Body, kind string, labels ...string) *hclwrite.Body {
		b.AppendNewline()
		return b.AppendNewBlock(kind, labels).Body()
	}

	text(b, "name", h.Name)
	text(b, "region", c.region())
	text(b, "datacenter", cmp.Or(h.Datacenter, c.datacenter()))
	text(b, "data_dir", DataDir)
	yes(b, "disable_update_check", true)

	client := block(b, "client")
	yes(client, "enabled", true)
	servers := make([]cty.Value, len(c.Servers))
	for i, s := range c.Servers {
		servers[i] = cty.StringVal(s)
	}
	if len(servers) == 0 {
		return nil, fmt.Errorf("client configuration of %s: nomad.servers is empty", h.Name)
	}
	client.SetAttributeValue("servers", cty.ListVal(servers))
	text(client, "node_pool", c.poolOf(h))
	if h.Network.IsValid() {
		text(client, "network_interface", fmt.Sprintf(`{{ GetAllInterfaces | include "network" %q | attr "name" }}`, h.Network))
	}
	// The fingerprinters of clouds wait for an address that no rack has.
	client.SetAttributeValue("options", cty.MapVal(map[string]cty.Value{
		"fingerprint.denylist": cty.StringVal("env_aws,env_azure,env_digitalocean,env_gce"),
	}))
	if len(h.Meta) > 0 {
		meta := make(map[string]cty.Value, len(h.Meta))
		for _, k := range slices.Sorted(maps.Keys(h.Meta)) {
			meta[k] = cty.StringVal(h.Meta[k])
		}
		client.SetAttributeValue("meta", cty.MapVal(meta))
	}

	// The configuration job changes the host itself, so it runs unconfined.
	raw := block(b, "plugin", "raw_exec").AppendNewBlock("config", nil).Body()
	yes(raw, "enabled", true)
	if c.Docker {
		// Both are off by default. A file of the role that configures the driver, too,
		// replaces this block as a whole.
		docker := block(b, "plugin", "docker").AppendNewBlock("config", nil).Body()
		yes(docker, "allow_privileged", true)
		yes(docker.AppendNewBlock("volumes", nil).Body(), "enabled", true)
	}

	// Without it the client's own API would let everybody read its tasks' files.
	if c.ACL || c.TokenFile != "" {
		yes(block(b, "acl"), "enabled", true)
	}

	var files []File
	if c.CA != "" {
		ca, err := os.ReadFile(c.CA)
		if err != nil {
			return nil, fmt.Errorf("client configuration of %s: %w", h.Name, err)
		}
		tls := block(b, "tls")
		yes(tls, "http", true)
		yes(tls, "rpc", true)
		yes(tls, "verify_server_hostname", true)
		text(tls, "ca_file", ClusterCA)
		text(tls, "cert_file", h.Certificate)
		text(tls, "key_file", h.Key)
		files = append(files, File{ClusterCA, 0o644, string(ca)})
	}
	files = append(files, File{ConfigDir + "/client.hcl", 0o640, string(file.Bytes())})
	if h.Token != "" {
		files = append(files, File{introToken, 0o600, h.Token})
	}
	return files, nil
}

// literal is Literal of all that comes into a client's configuration.
func literal(h Client, c Config) error {
	values := append([]string{h.Name, h.Datacenter, h.Pool, h.Certificate, h.Key, c.Region, c.Datacenter, c.Pool, c.Quarantine}, c.Servers...)
	for k, v := range h.Meta {
		values = append(values, k, v)
	}
	return Literal(values...)
}

// Literal refuses values that Nomad's agent, which reads an older HCL than the
// one written here, would not take as they are.
func Literal(values ...string) error {
	for _, v := range values {
		if strings.Contains(v, "${") || strings.Contains(v, "%{") || !utf8.ValidString(v) ||
			strings.ContainsFunc(v, unicode.IsControl) {
			return fmt.Errorf("%q contains a control character or begins an interpolation: change it in the configuration", v)
		}
	}
	return nil
}
