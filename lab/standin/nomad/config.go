package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/gohcl"
	"github.com/hashicorp/hcl/v2/hclparse"
)

// config is the part of an agent's configuration that matters here. What else a
// real agent understands is let pass.
type config struct {
	Name       string   `hcl:"name,optional"`
	Datacenter string   `hcl:"datacenter,optional"`
	DataDir    string   `hcl:"data_dir,optional"`
	Client     clientIs `hcl:"client,block"`
	Rest       hcl.Body `hcl:",remain"`
}

type clientIs struct {
	Enabled bool              `hcl:"enabled,optional"`
	Servers []string          `hcl:"servers,optional"`
	Pool    string            `hcl:"node_pool,optional"`
	Class   string            `hcl:"node_class,optional"`
	Meta    map[string]string `hcl:"meta,optional"`
	Rest    hcl.Body          `hcl:",remain"`
}

// readConfig reads files, and the *.hcl files of folders, as one configuration.
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
	var parsed []*hcl.File
	for _, name := range files {
		f, diags := parser.ParseHCLFile(name)
		if diags.HasErrors() {
			return cfg, fmt.Errorf("configuration: %w", diags)
		}
		parsed = append(parsed, f)
	}
	if diags := gohcl.DecodeBody(hcl.MergeFiles(parsed), nil, &cfg); diags.HasErrors() {
		return cfg, fmt.Errorf("configuration: %w", diags)
	}
	if cfg.Name == "" {
		name, err := os.Hostname()
		if err != nil {
			return cfg, fmt.Errorf("host name: %w", err)
		}
		cfg.Name = name
	}
	switch {
	case !cfg.Client.Enabled:
		return cfg, fmt.Errorf("client.enabled is not set: the stand-in is a client and nothing else")
	case cfg.DataDir == "":
		return cfg, fmt.Errorf("data_dir is missing")
	}
	return cfg, nil
}

// httpAddress returns where the first server speaks HTTP.
func httpAddress(servers []string) (string, error) {
	if len(servers) == 0 {
		return "", fmt.Errorf("client.servers is empty")
	}
	name, port, err := net.SplitHostPort(servers[0])
	if err != nil { // no port: Nomad's own
		name, port = servers[0], "4647"
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n < 2 {
		return "", fmt.Errorf("client.servers: %q has no port", servers[0])
	}
	return "http://" + net.JoinHostPort(name, strconv.FormatUint(n-1, 10)), nil
}

// identity reads a UUID from file, or makes one and keeps it there. Like the
// real agent it writes no final newline.
func identity(file string) (string, error) {
	b, err := os.ReadFile(file)
	if id := strings.TrimSpace(string(b)); err == nil && id != "" {
		return id, nil
	}
	if err != nil && !os.IsNotExist(err) {
		return "", fmt.Errorf("identity: %w", err)
	}
	var u [16]byte
	rand.Read(u[:])
	id := fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
	// A machine that loses power here must not come back with half an identity.
	temp := file + ".new"
	if err := os.WriteFile(temp, []byte(id), 0o600); err != nil {
		return "", fmt.Errorf("identity: %w", err)
	}
	f, err := os.Open(temp)
	if err == nil {
		err = f.Sync()
		f.Close()
	}
	if err == nil {
		err = os.Rename(temp, file)
	}
	if err == nil {
		err = syncFolder(filepath.Dir(file))
	}
	if err != nil {
		return "", fmt.Errorf("identity: %w", err)
	}
	return id, nil
}

// syncFolder makes names in a folder durable.
func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
