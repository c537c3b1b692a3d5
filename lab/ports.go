package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// The rack's cables. Every device on the bridge hangs on a port of the rack's
// router; which one is in a file of the device's name, so that whoever asks
// later knows. The appliance, which is the bridge's own address, hangs on the
// trunk.
const (
	trunkPort = "ether2"
	firstPort = 3 // for hosts: ether3 and on
	hostPorts = 8
)

func (r *Rack) cablesDir() string { return r.path("cables") }

// plug gives a device the first free port. One that hangs on a port already
// keeps it.
func (r *Rack) plug(device string) (port string, err error) {
	cables, err := readCables(r.cablesDir())
	if err != nil {
		return "", err
	}
	if port, ok := cables[device]; ok {
		return port, nil
	}
	taken := slices.Collect(maps.Values(cables))
	for n := range hostPorts {
		port := fmt.Sprintf("ether%d", n+firstPort)
		if slices.Contains(taken, port) {
			continue
		}
		if err := os.MkdirAll(r.cablesDir(), 0o755); err != nil {
			return "", err
		}
		return port, os.WriteFile(filepath.Join(r.cablesDir(), device), []byte(port+"\n"), 0o644)
	}
	return "", fmt.Errorf("the rack's router has no port left for %s: it has %d", device, hostPorts)
}

// Port is the router's port that a machine hangs on; empty in a rack without a
// router.
func (r *Rack) Port(name string) string {
	cables, err := readCables(r.cablesDir())
	if err != nil {
		return ""
	}
	return cables[Machine{Name: name}.tap()]
}

// Replug puts a machine's cable into another port of the router, or into that of
// another machine, whose cable then hangs where this one was.
func (r *Rack) Replug(name, port string) error {
	cables, err := readCables(r.cablesDir())
	if err != nil {
		return err
	}
	device := Machine{Name: name}.tap()
	old := cables[device]
	for other, p := range cables {
		if p == port && other != device {
			if err := os.WriteFile(filepath.Join(r.cablesDir(), other), []byte(old+"\n"), 0o644); err != nil {
				return err
			}
		}
	}
	return os.WriteFile(filepath.Join(r.cablesDir(), device), []byte(port+"\n"), 0o644)
}

// readCables tells which port each device hangs on.
func readCables(dir string) (map[string]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	cables := map[string]string{}
	for _, e := range entries {
		port, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		cables[e.Name()] = strings.TrimSpace(string(port))
	}
	return cables, nil
}

// heard is a MAC address that the kernel's bridge has learned behind a device.
type heard struct {
	MAC    string `json:"mac"`
	Device string `json:"ifname"`
	State  string `json:"state"` // "permanent": a device's own
}

// readBridge returns what the bridge has learned, without devices' own addresses.
func (r *Rack) readBridge(ctx context.Context) ([]heard, error) {
	argv := r.Inside("bridge", "-json", "fdb", "show", "br", bridge)
	out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).Output()
	if err != nil {
		return nil, fmt.Errorf("read the bridge's addresses: %w", err)
	}
	var all []heard
	if err := json.Unmarshal(out, &all); err != nil {
		return nil, fmt.Errorf("read the bridge's addresses: %w", err)
	}
	return slices.DeleteFunc(all, func(h heard) bool { return h.State == "permanent" }), nil
}
