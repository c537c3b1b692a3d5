package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/gohcl"
	"github.com/hashicorp/hcl/v2/hclparse"
)

// config is the part of an agent's configuration that matters here. What else a
// real agent understands is let pass.
type config struct {
	Name       string     `hcl:"name,optional"`
	Region     string     `hcl:"region,optional"`
	Datacenter string     `hcl:"datacenter,optional"`
	DataDir    string     `hcl:"data_dir,optional"`
	BindAddr   string     `hcl:"bind_addr,optional"`
	Ports      *ports     `hcl:"ports,block"`
	Advertise  *addresses `hcl:"advertise,block"`
	Server     *serverIs  `hcl:"server,block"`
	Client     *clientIs  `hcl:"client,block"`
	TLS        *tlsIs     `hcl:"tls,block"`
	ACL        *aclIs     `hcl:"acl,block"`
	Rest       hcl.Body   `hcl:",remain"`
}

type ports struct {
	HTTP int      `hcl:"http,optional"`
	RPC  int      `hcl:"rpc,optional"`
	Rest hcl.Body `hcl:",remain"`
}

type addresses struct {
	RPC  string   `hcl:"rpc,optional"`
	Rest hcl.Body `hcl:",remain"`
}

type serverIs struct {
	Enabled         bool     `hcl:"enabled,optional"`
	BootstrapExpect int      `hcl:"bootstrap_expect,optional"`
	Introduction    *introIs `hcl:"client_introduction,block"`
	Rest            hcl.Body `hcl:",remain"`
}

type introIs struct {
	Enforcement string   `hcl:"enforcement,optional"`
	Rest        hcl.Body `hcl:",remain"`
}

type clientIs struct {
	Enabled bool              `hcl:"enabled,optional"`
	Servers []string          `hcl:"servers,optional"`
	Pool    string            `hcl:"node_pool,optional"`
	Class   string            `hcl:"node_class,optional"`
	Meta    map[string]string `hcl:"meta,optional"`
	Rest    hcl.Body          `hcl:",remain"`
}

type tlsIs struct {
	HTTP         bool     `hcl:"http,optional"`
	RPC          bool     `hcl:"rpc,optional"`
	VerifyClient bool     `hcl:"verify_https_client,optional"`
	CA           string   `hcl:"ca_file,optional"`
	Certificate  string   `hcl:"cert_file,optional"`
	Key          string   `hcl:"key_file,optional"`
	Rest         hcl.Body `hcl:",remain"`
}

type aclIs struct {
	Enabled bool     `hcl:"enabled,optional"`
	Rest    hcl.Body `hcl:",remain"`
}

func (c config) server() bool { return c.Server != nil && c.Server.Enabled }
func (c config) client() bool { return c.Client != nil && c.Client.Enabled }

// readConfig reads files, and the *.hcl files of folders, as one configuration: a
// later file's words count.
func readConfig(from []string) (config, error) {
	var cfg config
	var files []string
	for _, name := range from {
		info, err := os.Stat(name)
		if err != nil {
			return cfg, fmt.Errorf("configuration: %w", err)
		}
		if !info.IsDir() {
			files = append(files, name)
			continue
		}
		found, err := filepath.Glob(filepath.Join(name, "*.hcl"))
		if err != nil {
			return cfg, fmt.Errorf("configuration: %w", err)
		}
		slices.Sort(found)
		files = append(files, found...)
	}
	if len(files) == 0 {
		return cfg, fmt.Errorf("no configuration: want -config with a file, or a folder that has *.hcl files")
	}
	parser := hclparse.NewParser()
	for _, name := range files {
		f, diags := parser.ParseHCLFile(name)
		if diags.HasErrors() {
			return cfg, fmt.Errorf("configuration: %w", diags)
		}
		var one config
		if diags := gohcl.DecodeBody(f.Body, nil, &one); diags.HasErrors() {
			return cfg, fmt.Errorf("configuration: %w", diags)
		}
		cfg = cfg.with(one)
	}
	if cfg.Name == "" {
		name, err := os.Hostname()
		if err != nil {
			return cfg, fmt.Errorf("host name: %w", err)
		}
		cfg.Name = name
	}
	switch {
	case !cfg.client() && !cfg.server():
		return cfg, fmt.Errorf("neither client.enabled nor server.enabled is set")
	case cfg.DataDir == "":
		return cfg, fmt.Errorf("data_dir is missing")
	case cfg.server() && cfg.Server.BootstrapExpect > 1:
		return cfg, fmt.Errorf("server.bootstrap_expect is %d: the stand-in is one server and knows no consensus; run the real Nomad (LAB_NOMAD) for more",
			cfg.Server.BootstrapExpect)
	}
	return cfg, nil
}

// with returns c with what more says in its place. Blocks are taken whole: the
// appliance writes each in one file.
func (c config) with(more config) config {
	return config{
		Name: cmp.Or(more.Name, c.Name), Region: cmp.Or(more.Region, c.Region),
		Datacenter: cmp.Or(more.Datacenter, c.Datacenter), DataDir: cmp.Or(more.DataDir, c.DataDir),
		BindAddr: cmp.Or(more.BindAddr, c.BindAddr), Ports: cmp.Or(more.Ports, c.Ports), Advertise: cmp.Or(more.Advertise, c.Advertise),
		Server: cmp.Or(more.Server, c.Server), Client: cmp.Or(more.Client, c.Client), TLS: cmp.Or(more.TLS, c.TLS), ACL: cmp.Or(more.ACL, c.ACL),
	}
}
