package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"provision.internal/boot"
	"provision.internal/host"
	"provision.internal/httpboot"
	"provision.internal/images"
	"provision.internal/images/embedded"
	"provision.internal/installer"
	"provision.internal/web"
)

// carrier is a NETBOOT tarball's files, and the agent as a file of its own, which
// the tarball's autoinstaller fetches.
type carrier struct {
	images.Netboot
	agent images.Blob
}

// netbootArch is the only one that NETBOOT tarballs with a kernel for iPXE are
// made for.
const netbootArch = "x86_64"

// carried reports whether machines of arch boot the operator's NETBOOT tarball
// and not the image that is made here.
func (im Images) carried(arch string) bool {
	return im.Netboot != "" && withLibc(arch, glibc) == netbootArch
}

// carry takes the tarball apart.
func (k *kits) carry(ctx context.Context) (carrier, error) {
	n, err := k.store.Netboot(ctx, k.cfg.Images.Netboot)
	if err != nil {
		return carrier{}, err
	}
	agent, err := embedded.Agent(netbootArch)
	if err != nil {
		return carrier{}, err
	}
	blob, err := k.store.Put(bytes.NewReader(agent))
	return carrier{n, blob}, err
}

// autoinstall configures the autoinstaller of the tarball on h.
func (k *kits) autoinstall(p *plans, h host.Host) (httpboot.Autoinstall, error) {
	role, err := p.role(h)
	if err != nil {
		return httpboot.Autoinstall{}, err
	}
	url := boot.AutoinstallURL(k.cfg.Server.httpURL(), h.MAC)
	if role.Installer == installer.InstallerShell {
		site, err := p.site(h, role, netbootArch)
		if err != nil {
			return httpboot.Autoinstall{}, err
		}
		script, err := role.ShellScript(h, site, url)
		return httpboot.Autoinstall{Script: script, Shell: true, Snapshot: site.Snapshot}, err
	}
	k.mu.Lock()
	one := k.kits[k.netbootInstaller()]
	k.mu.Unlock()
	switch {
	case one.err != nil:
		return httpboot.Autoinstall{}, one.err
	case one.image == nil || one.carrier == nil:
		return httpboot.Autoinstall{}, httpboot.ErrAssembling
	}
	overlay, err := json.Marshal(overlayOf(k.cfg.Server, one.image.Userland))
	if err != nil {
		return httpboot.Autoinstall{}, err
	}
	return httpboot.Autoinstall{Script: installer.Carrier{
		Host: h.Name, URL: url, Agent: boot.ImageURL(k.cfg.Server.httpURL(), one.carrier.agent.SHA256, "provision-agent"),
		SHA256: one.carrier.agent.SHA256, Overlay: string(overlay), CA: string(k.ca),
	}.Script()}, nil
}

// describe lists what `provision images list` shows of the tarball.
func (c carrier) describe(arch string, since time.Time) []web.Image {
	var all []web.Image
	for _, f := range []struct {
		name, source string
		blob         images.Blob
	}{
		{"netboot kernel", "Linux " + c.Release, c.Kernel}, {"netboot initrd", "NETBOOT tarball", c.Initrd}, {"agent", "this appliance", c.agent},
	} {
		all = append(all, web.Image{
			Name: f.name, Kind: "installer", Arch: arch, State: "ready", Since: since,
			Hash: f.blob.SHA256, Size: f.blob.Size, Source: f.source,
		})
	}
	return all
}

// netbootInstaller is the one of images.arch that the tarball is for.
func (k *kits) netbootInstaller() string {
	for _, arch := range k.cfg.Images.installers() {
		if k.cfg.Images.carried(arch) {
			return arch
		}
	}
	return ""
}

// validateNetboot checks what the tarball is for, and that roles which need it have
// it.
func (c Config) validateNetboot(fs *Faults) {
	im := c.Images
	usable := false
	for _, arch := range im.installers() {
		usable = usable || im.carried(arch)
	}
	if im.Netboot != "" && !usable {
		fs.add("images.netboot", "is for %s, which images.arch does not have: Void's NETBOOT tarballs are for PCs", netbootArch)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Roles)) {
		role := c.Roles[name]
		if role.Installer == installer.InstallerShell && im.Netboot == "" {
			fs.add(fmt.Sprintf("roles.%s.installer", name), "%s needs images.netboot: name a tarball that void-mklive's mknet.sh has made", role.Installer)
		}
	}
}
