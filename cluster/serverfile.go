package cluster

import (
	"cmp"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"

	"provision.internal/nomad"
)

// Nomad's own ports.
const (
	httpPort = 4646
	rpcPort  = 4647
	serfPort = 4648
)

// ServerFiles returns what makes the host called name a server of the cluster,
// and is a whole configuration without any client: ErrNotAsked until the
// founding is asked for. Servers that know introduction are told to want it once
// they are founded and so their version is known; an older one would refuse to
// start with a block that it does not know.
func (f *Founder) ServerFiles(name string) ([]nomad.File, error) {
	s, ok := f.server(name)
	if !ok {
		return nil, fmt.Errorf("%s is no server of the cluster: name it in cluster.servers", name)
	}
	if !f.Asked() {
		return nil, ErrNotAsked
	}
	if err := nomad.Literal(s.Name, f.site.region(), s.Datacenter, f.site.Nomad.Datacenter, s.Certificate, s.Key); err != nil {
		return nil, fmt.Errorf("server configuration of %s: %w", name, err)
	}
	gossip, err := f.unseal(gossipSecret)
	if err != nil {
		return nil, err
	}
	return []nomad.File{
		{Path: nomad.ClusterCA, Mode: 0o644, Content: string(f.site.Authority.PEM())},
		{Path: nomad.ConfigDir + "/server.hcl", Mode: 0o600, Content: f.serverConfig(s, gossip)},
	}, nil
}

func (f *Founder) serverConfig(s Server, gossip string) string {
	file := hclwrite.NewEmptyFile()
	text := func(b *hclwrite.Body, key, value string) { b.SetAttributeValue(key, cty.StringVal(value)) }
	yes := func(b *hclwrite.Body, keys ...string) {
		for _, key := range keys {
			b.SetAttributeValue(key, cty.True)
		}
	}
	block := func(b *hclwrite.Body, kind string) *hclwrite.Body {
		b.AppendNewline()
		return b.AppendNewBlock(kind, nil).Body()
	}
	b := file.Body()
	text(b, "name", s.Name)
	text(b, "region", f.site.region())
	text(b, "datacenter", cmp.Or(s.Datacenter, f.site.Nomad.Datacenter, nomad.DefaultDatacenter))
	text(b, "data_dir", nomad.DataDir)
	yes(b, "disable_update_check")

	// A machine with several addresses would choose one by itself.
	advertise := block(b, "advertise")
	for _, kind := range []string{"http", "rpc", "serf"} {
		text(advertise, kind, s.Address.String())
	}

	server := block(b, "server")
	yes(server, "enabled")
	server.SetAttributeValue("bootstrap_expect", cty.NumberIntVal(int64(len(f.site.Servers))))
	text(server, "encrypt", gossip)
	var others []cty.Value
	for _, o := range f.site.Servers {
		if o.Name != s.Name {
			others = append(others, cty.StringVal(netip.AddrPortFrom(o.Address, serfPort).String()))
		}
	}
	if len(others) > 0 {
		join := block(server, "server_join")
		join.SetAttributeValue("retry_join", cty.ListVal(others))
		text(join, "retry_interval", "5s") // 30 s otherwise, for servers that are installed together
	}
	if introduces(f.known().Version) {
		text(block(server, "client_introduction"), "enforcement", f.site.Config.enforcement())
	}

	yes(block(b, "acl"), "enabled")

	// Browsers have no certificate: over HTTP a token says who somebody is.
	tls := block(b, "tls")
	yes(tls, "http", "rpc", "verify_server_hostname")
	text(tls, "ca_file", nomad.ClusterCA)
	text(tls, "cert_file", s.Certificate)
	text(tls, "key_file", s.Key)
	return string(file.Bytes())
}

// introduces reports whether servers of that version know introduction tokens:
// 1.11 and later.
func introduces(version string) bool {
	major, minor, ok := release(version)
	return ok && (major > 1 || minor >= 11)
}

// release reads the first two numbers of a version such as 1.10.5 or 2.0.6-dev.
func release(version string) (major, minor int, ok bool) {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return 0, 0, false
	}
	major, err1 := strconv.Atoi(parts[0])
	minor, err2 := strconv.Atoi(parts[1])
	return major, minor, err1 == nil && err2 == nil
}
