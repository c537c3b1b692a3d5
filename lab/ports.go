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
		return port, r.cable(device, port)
	}
	return "", fmt.Errorf("the rack's router has no port left for %s: it has %d", device, hostPorts)
}

// Port is the router's port that a machine or a neighbour hangs on; empty in a
// rack without a router.
func (r *Rack) Port(name string) string {
	cables, err := readCables(r.cablesDir())
	if err != nil {
		return ""
	}
	return cables[device(cables, name)]
}

// Replug puts the cable of a machine or a neighbour into another port of the
// router. A cable that is there already goes where this one was.
func (r *Rack) Replug(name, port string) error {
	cables, err := readCables(r.cablesDir())
	if err != nil {
		return err
	}
	moved := device(cables, name)
	for other, p := range cables {
		if p == port && other != moved {
			if err := r.cable(other, cables[moved]); err != nil {
				return err
			}
		}
	}
	return r.cable(moved, port)
}

func (r *Rack) cable(device, port string) error {
	return os.WriteFile(filepath.Join(r.cablesDir(), device), []byte(port+"\n"), 0o644)
}

// device is the end of a cable: a machine's tap, or what is called like the
// neighbour.
func device(cables map[string]string, name string) string {
	if tap := (Machine{Name: name}).tap(); cables[tap] != "" {
		return tap
	}
	return name
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
