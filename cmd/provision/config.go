package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"
	"go.yaml.in/yaml/v3"

	"provision.internal/daemon"
)

const defaultConfig = "/etc/provision/provision.yaml"

// fromEnvironment lists the keys that PROVISION_… variables may set, such as
// PROVISION_NOMAD_ADDRESS. Lists and what is in them come from the file only.
var fromEnvironment = []string{
	"server.name", "server.address", "server.interface", "server.state", "server.socket",
	"server.http", "server.https", "server.tftp", "server.linger",
	"images.upstream", "images.release", "images.release_key", "images.repository", "images.repositories", "images.keys", "images.rootfs",
	"images.netboot", "images.kernel", "images.arch", "images.libc", "images.cmdline", "images.cache.size",
	"nomad.address", "nomad.token_file", "nomad.ca", "nomad.cert", "nomad.key", "nomad.server_name",
	"nomad.region", "nomad.datacenter", "nomad.namespace", "nomad.pool", "nomad.servers", "nomad.job", "nomad.introduction",
	"router.address", "router.user", "router.password_file", "router.certificate", "router.identity", "router.bridge", "router.management",
	"deadlines.admitted", "deadlines.installing", "deadlines.installed", "deadlines.booted", "deadlines.joined", "deadlines.configured",
}

func newSettings() *viper.Viper {
	v := viper.New()
	v.SetEnvPrefix("provision")
	v.SetEnvKeyReplacer(strings.NewReplacer(".", "_"))
	// AutomaticEnv would only see keys that have a default, and a default would
	// hide that a key is missing: so each is bound by name.
	for _, key := range fromEnvironment {
		must(v.BindEnv(key))
	}
	must(v.BindEnv("config"))
	must(v.BindEnv("socket"))
	v.SetDefault("config", defaultConfig)
	return v
}

func bind(v *viper.Viper, key string, flag *pflag.Flag) { must(v.BindPFlag(key, flag)) }

// must is for calls that fail for a mistake in this program only.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// socket is where the daemon listens: as the flag or the environment says, or
// else as the configuration does when this user may read it.
func (a *app) socket() string {
	if s := a.settings.GetString("socket"); s != "" {
		return s
	}
	if s := os.Getenv("PROVISION_SERVER_SOCKET"); s != "" {
		return s
	}
	file := a.settings.GetString("config")
	settings, err := readYAML(file)
	if err != nil {
		return daemon.DefaultSocket
	}
	server, _ := settings["server"].(map[string]any)
	if s, ok := server["socket"].(string); ok && s != "" {
		if !filepath.IsAbs(s) {
			s = filepath.Join(filepath.Dir(file), s)
		}
		return s
	}
	return daemon.DefaultSocket
}

// config reads the configuration file, puts the environment and the flags on
// top, and checks the result.
func (a *app) config() (daemon.Config, error) {
	file := a.settings.GetString("config")
	settings, err := readYAML(file)
	if err != nil {
		return daemon.Config{}, err
	}
	overlay(settings, a.settings)
	base, err := filepath.Abs(filepath.Dir(file))
	if err != nil {
		return daemon.Config{}, err
	}
	cfg, err := daemon.Decode(settings, base)
	if err != nil {
		return cfg, fmt.Errorf("%s: %w", file, err)
	}
	cfg.File = file
	return cfg, nil
}

// readYAML reads the file itself instead of having viper do so: viper writes
// every key in lower case and splits keys at dots, and below roles the case of
// keys matters to whoever gets them.
func readYAML(file string) (map[string]any, error) {
	text, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, usagef("there is no configuration at %s: write one, starting from examples/provision.yaml, or name it with --config", file)
	case err != nil:
		return nil, err
	}
	var settings map[string]any
	if err := yaml.Unmarshal(text, &settings); err != nil {
		return nil, &usageError{fmt.Errorf("%s: %s", file, strings.TrimPrefix(err.Error(), "yaml: "))}
	}
	if settings == nil {
		settings = map[string]any{}
	}
	return settings, nil
}

// overlay puts what the environment says into settings.
func overlay(settings map[string]any, v *viper.Viper) {
	for _, key := range fromEnvironment {
		if !v.IsSet(key) {
			continue
		}
		path := strings.Split(key, ".")
		section, ok := sectionOf(settings, path[:len(path)-1])
		if !ok {
			continue // not a section: Decode says so
		}
		name := path[len(path)-1]
		section[name] = v.Get(key)
		if key == "images.repositories" || key == "nomad.servers" {
			section[name] = strings.Split(v.GetString(key), ",")
		}
	}
	if s := v.GetString("socket"); s != "" {
		if server, ok := settings["server"].(map[string]any); ok {
			server["socket"] = s
		}
	}
}

// sectionOf finds the section below settings that path leads to, and makes it
// where there is none. It reports false when something else is in its place.
func sectionOf(settings map[string]any, path []string) (map[string]any, bool) {
	for _, name := range path {
		inner, ok := settings[name].(map[string]any)
		switch {
		case !ok && settings[name] != nil:
			return nil, false
		case inner == nil:
			inner = map[string]any{}
			settings[name] = inner
		}
		settings = inner
	}
	return settings, true
}

// environment lists the variables, for the help.
func environment() []string {
	names := map[string]bool{"PROVISION_CONFIG": true, "PROVISION_SOCKET": true}
	for _, key := range fromEnvironment {
		names["PROVISION_"+strings.ToUpper(strings.ReplaceAll(key, ".", "_"))] = true
	}
	return slices.Sorted(maps.Keys(names))
}
