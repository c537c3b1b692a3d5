package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"provision.internal/dhcp"
	"provision.internal/images"
	"provision.internal/installer"
	"provision.internal/web"
	"provision.internal/xbps"
)

// Verdict is how one check of the world ended.
type Verdict string

// The verdicts.
const (
	Good    Verdict = "ok"
	Warning Verdict = "warning" // works, but is probably not meant so
	Bad     Verdict = "bad"     // the appliance cannot do its work like this
	Skipped Verdict = "skipped" // could not be checked from here
)

// Finding is the result of one check.
type Finding struct {
	Verdict Verdict `json:"verdict"`
	What    string  `json:"what"`         // "port 67/udp"
	Text    string  `json:"text"`         // what was found
	Do      string  `json:"do,omitempty"` // what to do about it
}

func good(what, format string, args ...any) Finding {
	return Finding{Verdict: Good, What: what, Text: fmt.Sprintf(format, args...)}
}

func bad(what, do, format string, args ...any) Finding {
	return Finding{Verdict: Bad, What: what, Text: fmt.Sprintf(format, args...), Do: do}
}

// Check compares the valid configuration cfg with the world around it, and
// calls found with each result as it comes.
func Check(ctx context.Context, cfg Config, found func(Finding)) {
	for _, f := range checkAddresses(cfg) {
		found(f)
	}
	running := ourDaemon(ctx, cfg)
	for _, l := range cfg.listeners() {
		found(l.check(running))
	}
	found(checkSocket(cfg, running))
	found(checkState(cfg.Server.State))
	for _, f := range checkFiles(cfg) {
		found(f)
	}
	for _, f := range checkUpstream(ctx, cfg, running) {
		found(f)
	}
	for _, name := range slices.Sorted(maps.Keys(cfg.Roles)) {
		if role := cfg.Roles[name]; role.LUKS != nil {
			found(checkPassphrase(name, role))
		}
	}
	for _, f := range checkRelease(ctx, cfg.Images) {
		found(f)
	}
	checkImages(ctx, cfg, running, found)
	found(checkCluster(ctx, cfg, running))
	if cfg.Router != nil {
		found(checkRouter(ctx, cfg))
	}
	for _, n := range cfg.Network {
		if n.DHCP != dhcp.Off && !n.Relayed {
			found(checkRivals(ctx, cfg, n))
		}
	}
}

// checkPassphrase reads the passphrase of a role as an install would.
func checkPassphrase(name string, role installer.Role) Finding {
	what := "passphrase of role " + name
	secret, err := passphraseOf(role)
	if err == nil && secret == "" {
		err = fmt.Errorf("%s is empty", role.LUKS.PassphraseFile)
	}
	if err != nil {
		return bad(what, "write one into the file, readable by the appliance's user only; until then no machine of the role is installed", "%v", err)
	}
	return good(what, "is in %s", role.LUKS.PassphraseFile)
}

// ourDaemon returns the status of the daemon of this configuration, nil when
// none runs.
func ourDaemon(ctx context.Context, cfg Config) *web.Status {
	st, err := (&web.Client{Socket: cfg.Server.Socket}).Status(ctx)
	if err != nil {
		return nil
	}
	return &st
}

func checkAddresses(cfg Config) []Finding {
	var all []Finding
	seen := map[string]bool{}
	for _, n := range cfg.Network {
		if n.Interface == "" || n.DHCP == dhcp.Off || seen[n.Interface] {
			continue
		}
		seen[n.Interface] = true
		all = append(all, checkInterface(n))
	}
	what := "address " + cfg.Server.Address.String()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return append(all, bad(what, "look at ip address", "%v", err))
	}
	if !slices.ContainsFunc(addrs, func(a net.Addr) bool {
		p, err := netip.ParsePrefix(a.String())
		return err == nil && p.Addr() == cfg.Server.Address
	}) {
		return append(all, bad(what, "give it to an interface (ip address add), or correct server.address", "no interface has it"))
	}
	return append(all, good(what, "is on this machine"))
}

func checkInterface(n dhcp.Network) Finding {
	what := "interface " + n.Interface
	ifi, err := net.InterfaceByName(n.Interface)
	if err != nil {
		return bad(what, "ip link lists them; correct interface of network "+n.Name, "does not exist")
	}
	if ifi.Flags&net.FlagUp == 0 {
		return bad(what, "ip link set "+n.Interface+" up", "is down")
	}
	addrs, err := ifi.Addrs()
	if err != nil {
		return bad(what, "look at ip address", "%v", err)
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && (n.Relayed || n.Subnet.Contains(p.Addr())) {
			return good(what, "is up with %s", p)
		}
	}
	return bad(what, "give it one (ip address add), or correct subnet of network "+n.Name, "has no address in %s", n.Subnet)
}

// listener is one port that the daemon listens on.
type listener struct {
	part    string
	network string // udp4, tcp
	address string
}

func (c Config) listeners() []listener {
	all := []listener{
		{"tftp", "udp", c.Server.TFTP},
		{"http", "tcp", c.Server.HTTP},
		{"https", "tcp", c.Server.HTTPS},
	}
	modes := map[dhcp.Mode]bool{}
	for _, n := range c.Network {
		modes[n.DHCP] = true
	}
	if modes[dhcp.Full] || modes[dhcp.Proxy] {
		all = append(all, listener{"dhcp", "udp4", ":67"}, listener{"dhcp", "udp4", ":4011"})
	}
	return all
}

func (l listener) check(running *web.Status) Finding {
	what := fmt.Sprintf("port %d/%s (%s)", port(l.address), l.network[:3], l.part)
	err := l.try()
	switch {
	case err == nil:
		return good(what, "is free")
	case errors.Is(err, syscall.EADDRINUSE) && running != nil:
		return good(what, "is held by the running daemon, process %d", running.PID)
	case errors.Is(err, syscall.EADDRINUSE):
		return bad(what, "stop what holds it, or let provision listen elsewhere", "is in use%s", holder(l.network, port(l.address)))
	case errors.Is(err, fs.ErrPermission):
		return Finding{Verdict: Skipped, What: what, Text: "may not be opened by this user", Do: "run provision check as root"}
	}
	return bad(what, "correct server."+l.part, "%v", err)
}

func (l listener) try() error {
	if l.network[:3] == "udp" {
		c, err := net.ListenPacket(l.network, l.address)
		if err != nil {
			return err
		}
		return c.Close()
	}
	c, err := net.Listen(l.network, l.address)
	if err != nil {
		return err
	}
	return c.Close()
}

func checkSocket(cfg Config, running *web.Status) Finding {
	what := "socket " + cfg.Server.Socket
	if running != nil {
		return good(what, "is answered by provision %s, process %d", running.Version.Version, running.PID)
	}
	dir := filepath.Dir(cfg.Server.Socket)
	if err := unix.Access(dir, unix.W_OK); err != nil {
		return bad(what, "make the folder, or run as a user that may write to it", "%s: %v", dir, err)
	}
	return good(what, "can be made; no daemon runs")
}

// enough is the room that one installer image and years of events need.
const enough = 1 << 30

func checkState(dir string) Finding {
	what := "state folder " + dir
	existing := dir
	for {
		info, err := os.Stat(existing)
		if err == nil && !info.IsDir() {
			return bad(what, "move it away, or name another server.state", "%s is no folder", existing)
		}
		if err == nil || existing == "/" {
			break
		}
		existing = filepath.Dir(existing)
	}
	if err := unix.Access(existing, unix.W_OK); err != nil {
		return bad(what, "run as a user that may write there, or name another server.state", "%s: %v", existing, err)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(existing, &st); err != nil {
		return bad(what, "look at the file system", "%v", err)
	}
	free := st.Bavail * uint64(st.Bsize)
	if free < enough {
		return bad(what, "make room: an installer image needs some 200 MiB, and events grow", "has %d MiB left", free>>20)
	}
	return good(what, "can be written, %d GiB free", free>>30)
}

func checkFiles(cfg Config) []Finding {
	var all []Finding
	keys, err := cfg.Images.trusted()
	switch {
	case err != nil:
		all = append(all, bad("package keys", "put the repository's public keys (*.plist) there: images.keys", "%v", err))
	case cfg.Images.Keys == "":
		all = append(all, good("package keys", "%d of Void's own", len(keys)))
	default:
		all = append(all, good("package keys", "%d in %s", len(keys), cfg.Images.Keys))
	}
	if cfg.Images.Repository != "" {
		for _, arch := range cfg.systems() {
			all = append(all, checkRepositories(cfg.Images, arch, keys)...)
		}
	}
	files := map[string]string{}
	if cfg.Images.ROOTFS != "" {
		files["ROOTFS tarball"] = cfg.Images.ROOTFS
	}
	if cfg.Images.Netboot != "" {
		files["NETBOOT tarball"] = cfg.Images.Netboot
	}
	for p, f := range cfg.Images.Loaders {
		files["loader for "+string(p)] = f
	}
	for what, file := range files {
		f, err := os.Open(file)
		if err != nil {
			all = append(all, bad(what, "put it there, or correct the configuration", "%v", err))
			continue
		}
		_ = f.Close() // only read
		all = append(all, good(what, "%s", file))
	}
	return all
}

// checkRelease asks upstream for the signed list of the release, unless the ROOTFS
// is a file or there is no upstream.
func checkRelease(ctx context.Context, im Images) []Finding {
	r := im.release()
	if r.Name == "" || im.Upstream == NoUpstream {
		return nil
	}
	var all []Finding
	for _, arch := range im.installers() {
		what := "release " + r.Name + " for " + arch
		if err := r.Check(ctx, arch, &images.Fetcher{}); err != nil {
			all = append(all, bad(what, "correct images.upstream, images.release or images.release_key, or let this machine reach the mirror", "%v", err))
			continue
		}
		all = append(all, good(what, "is at %s, and its list is signed by its key", r.Upstream))
	}
	return all
}

func checkRepositories(im Images, arch string, keys xbps.Keys) []Finding {
	var all []Finding
	found := false
	for _, sub := range im.folders(arch) {
		dir := filepath.Join(im.Repository, sub)
		what := "repository " + dir
		repo, err := xbps.OpenRepository(dir, arch, keys)
		if err != nil {
			all = append(all, bad(what, "mirror it there, or correct images.repository", "%v", err))
			continue
		}
		all = append(all, good(what, "%d packages for %s, signature good", len(repo.Index.Packages), arch))
		if _, ok := repo.Index.Packages[im.Kernel]; ok {
			found = true
		}
	}
	if !found {
		all = append(all, bad("kernel package "+im.Kernel, "correct images.kernel", "is in none of the repositories for %s", arch))
	}
	return all
}

// checkImages asks the running daemon, because only it assembles them.
func checkImages(ctx context.Context, cfg Config, running *web.Status, found func(Finding)) {
	if running == nil {
		found(Finding{Verdict: Skipped, What: "boot files", Text: "are assembled when the daemon starts"})
		return
	}
	images, err := (&web.Client{Socket: cfg.Server.Socket}).Images(ctx)
	if err != nil {
		found(bad("boot files", "look at the daemon's log", "%v", err))
		return
	}
	for _, im := range images {
		what := "boot file " + im.Name
		switch im.State {
		case "ready":
			found(good(what, "ready"))
		case "failed":
			found(bad(what, "correct the images section and restart the daemon", "%s", im.Error))
		default:
			found(Finding{Verdict: Warning, What: what, Text: "is " + im.State, Do: "wait; provision images list shows it"})
		}
	}
}
