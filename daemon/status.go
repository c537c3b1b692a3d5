package daemon

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"maps"
	"os"
	"runtime"
	"slices"
	"time"

	"provision.internal/boot"
	"provision.internal/web"
)

// status is what `provision status` shows; the hosts are counted by web.
func (d *appliance) status() web.Status {
	st := web.Status{
		Version: web.Version{Version: d.version, Go: runtime.Version()},
		PID:     os.Getpid(), Started: d.started,
		Address: d.cfg.Server.Address.String(), State: d.cfg.Server.State,
		Parts: []web.Part{
			{Name: "http", Listen: d.ends.http.Addr().String(), Note: d.cfg.Server.httpURL()},
			{Name: "https", Listen: d.ends.https.Addr().String(), Note: d.cfg.Server.httpsURL()},
			{Name: "tftp", Listen: d.ends.tftp.LocalAddr().String()},
			{Name: "nomad", Note: d.cfg.Nomad.Address},
		},
		Counters: map[string]uint64{},
	}
	for _, n := range d.cfg.Network {
		st.Parts = append(st.Parts, web.Part{Name: "dhcp", Listen: n.Interface, Note: string(n.DHCP) + " on " + n.Subnet.String()})
	}
	for name, n := range d.dhcp.Counters() {
		st.Counters["dhcp "+name] = n
	}
	st.Counters["dhcp notices dropped"] = d.machines.dropped.Load()
	if d.mirror != nil {
		addMirror(&st, d.mirror.Status(), time.Now())
	}
	t := d.tftp.Stats()
	for name, n := range map[string]uint64{
		"requests": t.Requests, "finished": t.Finished, "failed": t.Failed, "refused": t.Refused,
		"malformed": t.Malformed, "dropped": t.Dropped, "bytes": t.Bytes,
	} {
		st.Counters["tftp "+name] = n
	}
	return st
}

// images is what `provision images list` shows.
func (d *appliance) images() []web.Image {
	var all []web.Image
	for _, p := range []boot.Platform{boot.BIOS, boot.UEFIx64, boot.UEFIarm64} {
		source := d.cfg.Images.Loaders[p]
		if source == "" {
			source = "embedded"
		}
		all = append(all, describeLoader(d.loaders, p, source))
	}
	return append(all, d.kits.list()...)
}

func describeLoader(files fs.FS, p boot.Platform, source string) web.Image {
	im := web.Image{Name: boot.Loader(p), Kind: "loader", Arch: p.Arch(), Source: source + ", for " + string(p), State: "ready"}
	f, err := files.Open(im.Name)
	if err != nil {
		im.State, im.Error = "failed", err.Error()
		return im
	}
	defer func() { _ = f.Close() }() // only read
	sum := sha256.New()
	im.Size, err = io.Copy(sum, f)
	if err != nil {
		im.State, im.Error = "failed", err.Error()
		return im
	}
	im.Hash = hex.EncodeToString(sum.Sum(nil))
	return im
}

func (c Config) roleNames() []string { return slices.Sorted(maps.Keys(c.Roles)) }

// known are the configured hosts, for whoever admits one of them.
func (c Config) known() []web.Known {
	var all []web.Known
	for _, h := range c.Hosts {
		all = append(all, web.Known{Name: h.Name, MAC: h.MAC, Role: h.Role, Disk: h.Disk})
	}
	return all
}
