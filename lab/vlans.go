package lab

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strconv"
	"strings"
)

// filtering is what the router's configuration means for the devices on the
// rack's bridge, whose kernel need not know VLANs.
type filtering struct {
	on    bool           // the bridge filters by VLAN
	vlan  map[string]int // of each device that is in the bridge
	trunk map[int]bool   // VLANs that the appliance's port is in
	out   []string       // devices whose port is in no bridge, or off
}

// readFiltering takes it from the router's tables, as print shows them.
func readFiltering(rows func(menu string) []map[string]string, cables map[string]string) filtering {
	f := filtering{vlan: map[string]int{}, trunk: map[int]bool{}}
	for _, b := range rows("/interface/bridge") {
		f.on = f.on || b["vlan-filtering"] == "true"
	}
	down := map[string]bool{} // interfaces that carry nothing
	for _, e := range rows("/interface/ethernet") {
		down[e["name"]] = e["disabled"] == "true"
	}
	pvid := map[string]int{}
	for _, p := range rows("/interface/bridge/port") {
		if p["disabled"] == "true" || down[p["interface"]] {
			continue
		}
		pvid[p["interface"]], _ = strconv.Atoi(p["pvid"])
	}
	f.trunk[pvid[trunkPort]] = true
	for _, v := range rows("/interface/bridge/vlan") {
		tagged := strings.Split(v["tagged"], ",")
		for id := range strings.SplitSeq(v["vlan-ids"], ",") {
			if n, err := strconv.Atoi(id); err == nil && slices.Contains(tagged, trunkPort) {
				f.trunk[n] = true
			}
		}
	}
	for device, port := range cables {
		if n, ok := pvid[port]; ok {
			f.vlan[device] = n
		} else {
			f.out = append(f.out, device)
		}
	}
	slices.Sort(f.out)
	return f
}

// rules is f for nftables: a frame takes the mark of its port's VLAN, leaves
// only by ports of the same, and reaches the appliance only where its trunk is
// in the VLAN.
func (f filtering) rules() string {
	var enter, cross, appliance strings.Builder
	for _, device := range f.out {
		fmt.Fprintf(&enter, "\t\tiifname %q drop\n", device)
		fmt.Fprintf(&cross, "\t\toifname %q drop\n", device)
		fmt.Fprintf(&appliance, "\t\toifname %q drop\n", device)
	}
	var inner strings.Builder
	for _, device := range slices.Sorted(maps.Keys(f.vlan)) {
		if !f.on {
			break
		}
		vlan := f.vlan[device]
		fmt.Fprintf(&enter, "\t\tiifname %q meta mark set %d\n", device, vlan)
		fmt.Fprintf(&cross, "\t\toifname %q meta mark != %d drop\n", device, vlan)
		if !f.trunk[vlan] {
			fmt.Fprintf(&inner, "\t\tiifname %q drop\n", device)
			fmt.Fprintf(&appliance, "\t\toifname %q drop\n", device)
		}
	}
	return "table bridge vlans\ndelete table bridge vlans\ntable bridge vlans {\n" +
		"\tchain enter {\n\t\ttype filter hook prerouting priority -300\n" + enter.String() + "\t}\n" +
		"\tchain cross {\n\t\ttype filter hook forward priority 0\n" + cross.String() + "\t}\n" +
		"\tchain toAppliance {\n\t\ttype filter hook input priority 0\n" + inner.String() + "\t}\n" +
		"\tchain fromAppliance {\n\t\ttype filter hook output priority 0\n" + appliance.String() + "\t}\n}\n"
}

// enforce loads rules in one piece: no frame meets half of them.
func (r *Rack) enforce(ctx context.Context, rules string) error {
	argv := r.Inside("nft", "-f", "-")
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdin = strings.NewReader(rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("enforce the router's VLANs: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}
