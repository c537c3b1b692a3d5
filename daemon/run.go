package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"provision.internal/boot"
	"provision.internal/dhcp"
	"provision.internal/enroll"
	"provision.internal/host"
	"provision.internal/httpboot"
	"provision.internal/images"
	"provision.internal/images/embedded"
	"provision.internal/store"
	"provision.internal/tftp"
	"provision.internal/upkeep"
	"provision.internal/web"
	"provision.internal/xbps/mirror"
)

// leastThreads is how many goroutines may run at the same time, even where there are
// fewer processors. One that waits for the disk counts until the runtime takes
// its place away, for which it looks every 20 µs as long as no place is free:
// on two processors that is a seventh of what a DHCP exchange costs.
const leastThreads = 4

// Run is the appliance: it serves until ctx ends, and returns nil then. Nothing
// slow stands between its start and the first DHCP answer.
func Run(ctx context.Context, cfg Config, log *slog.Logger, version string) (err error) {
	began := time.Now()
	runtime.GOMAXPROCS(max(leastThreads, runtime.GOMAXPROCS(0)))
	if err := makeState(cfg.Server.State); err != nil {
		return err
	}
	st, err := store.Open(filepath.Join(cfg.Server.State, "store"), cfg.Deadlines.Map())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	ends, err := listen(cfg)
	if err != nil {
		return err
	}
	d, err := assemble(ctx, cfg, st, ends, log, version)
	if err != nil {
		ends.close()
		return err
	}
	d.started = began
	log.Info("provision serves", "version", version, "address", cfg.Server.Address, "state", cfg.Server.State,
		"socket", cfg.Server.Socket, "hosts", len(st.Hosts()), "took", time.Since(began).Round(time.Millisecond))
	err = d.run(ctx)
	if d.mirror != nil {
		err = errors.Join(err, d.mirror.Close())
	}
	log.Info("provision has stopped", "up", time.Since(began).Round(time.Second))
	return err
}

// appliance is every part of the daemon, joined.
type appliance struct {
	cfg     Config
	version string
	started time.Time
	log     *slog.Logger
	ends    *ends

	machines *machines
	kits     *kits
	loaders  images.Loaders
	dhcp     *dhcp.Server
	tftp     *tftp.Server
	http     *http.Server
	https    *http.Server
	enroll   *enroll.Reconciler
	mirror   *mirror.Mirror // nil where images.repository is a folder
	router   *rackRouter    // nil where there is none
	cluster  *theCluster    // nil where the section nomad is all
	upkeep   *upkeep.Manager
	web      *web.Server
}

// assemble makes the parts and starts none. ctx is that of their whole life.
func assemble(ctx context.Context, cfg Config, st *store.Store, ends *ends, log *slog.Logger, version string) (_ *appliance, err error) {
	part := func(name string) *slog.Logger { return log.With("part", name) }
	d := &appliance{cfg: cfg, version: version, log: log, ends: ends}

	authority, err := loadAuthority(cfg.Server)
	if err != nil {
		return nil, err
	}
	files, err := images.Open(filepath.Join(cfg.Server.State, "images"))
	if err != nil {
		return nil, err
	}
	if d.cluster, err = openCluster(cfg, st, authority, part("cluster")); err != nil {
		return nil, err
	}
	cluster, err := d.cluster.connect(cfg.Nomad, part("nomad"))
	if err != nil {
		return nil, err
	}
	if d.mirror, err = openMirror(cfg, st, part("packages")); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil && d.mirror != nil {
			err = errors.Join(err, d.mirror.Close())
		}
	}()
	plans := &plans{cfg: cfg, mirror: d.mirror, cluster: cluster, founder: d.cluster.members()}
	d.loaders = cfg.Images.loaders()
	if err := d.loaders.Check(boot.Loader(boot.BIOS), boot.Loader(boot.UEFIx64), boot.Loader(boot.UEFIarm64)); err != nil {
		log.Warn("some machines will find no boot loader", "err", err)
	}
	d.machines = newMachines(st, cfg.Hosts, part("dhcp"))
	d.kits = &kits{cfg: cfg, store: files, ca: authority.PEM(), log: part("images"), since: time.Now(), wake: make(chan struct{}, 1)}
	d.dhcp = &dhcp.Server{Config: cfg.dhcpConfig(), Sockets: ends.dhcp, Hosts: d.machines, Leases: st, Log: part("dhcp")}
	d.enroll = &enroll.Reconciler{
		Store: st, Nomad: cluster, Log: part("enroll"),
		Waits: plans.waits, WaitsChanged: plans.Changed, Booting: cfg.Deadlines.Booted, LostAfter: cfg.Nomad.LostAfter,
	}

	boots := &httpboot.Server{
		Hosts: st, History: st, Images: files, Loaders: d.loaders,
		Repository: cfg.Images.Repository, HTTP: cfg.Server.httpURL(), HTTPS: cfg.Server.httpsURL(),
		Authority: authority, Members: plans,
		Kit: d.kits.kit, Targets: plans.targets, Plan: plans.plan,
		Linger: cfg.Server.Linger, Now: time.Now, Log: part("http"),
	}
	var packages web.Packages // nil where there is no mirror
	if d.mirror != nil {
		boots.Packages, packages = d.mirror, &bundles{cfg: cfg, mirror: d.mirror, hosts: st.Hosts, workshop: d.kits.workshop, imported: d.kits.hurry}
		d.kits.connect(d.mirror)
	}
	if cfg.Images.Netboot != "" {
		boots.Autoinstall = func(h host.Host) (httpboot.Autoinstall, error) { return d.kits.autoinstall(plans, h) }
	}
	tftpFiles, err := boots.TFTP()
	if err != nil {
		return nil, err
	}
	d.tftp = &tftp.Server{Conn: ends.tftp, Files: tftpFiles, Log: part("tftp"), Done: func(t tftp.Transfer) { logTransfer(part("tftp"), t) }}
	d.http = httpboot.NewHTTPServer(boots.Plain(), part("http"))
	d.https = httpboot.NewHTTPServer(boots.Secure(), part("https"))
	d.https.TLSConfig = authority.TLS()
	d.https.RegisterOnShutdown(boots.Release)
	if d.upkeep, err = newUpkeep(cfg, st, cluster, part("upkeep")); err != nil {
		return nil, err
	}
	d.connectConfiguration(cfg, cluster)
	d.web = &web.Server{
		Listener: ends.web, Hosts: st, History: st, Log: part("web"), Images: d.images, Status: d.status, Upkeep: d.upkeep,
		Packages: packages, Roles: cfg.roleNames(), Known: cfg.known(), GrantTTL: cfg.Deadlines.Admitted,
	}
	if d.cluster != nil {
		d.web.Cluster, d.enroll.Founded = d.cluster, d.cluster.founded
		if d.cluster.zero != nil {
			d.cluster.zero.cluster = cluster
		}
	}
	if cfg.Router != nil {
		if d.router, err = openRouter(cfg, part("router")); err != nil {
			return nil, err
		}
		d.web.Router, d.web.Ports, d.enroll.Ports = d.router, d.router.ports, d.router.ports
		d.machines.loads = &loading{now: time.Now}
		d.enroll.Known, d.enroll.Loading = d.machines.name, d.machines.loads.is
		boots.Confirm, boots.Told = d.enroll.Confirm, d.machines.loads.end
	}
	return d, nil
}

// logTransfer tells of a loader that was fetched, or was not: firmware shows at
// most an error code of its own.
func logTransfer(log *slog.Logger, t tftp.Transfer) {
	level, text := slog.LevelInfo, "file sent"
	switch {
	case t.Probe:
		level, text = slog.LevelDebug, "size told"
	case t.Err != nil:
		level, text = slog.LevelWarn, "file not sent"
	}
	log.Log(context.Background(), level, text, "peer", t.Peer, "file", t.File, "bytes", t.Bytes, "took", t.Took, "err", t.Err)
}

// run starts every part and waits until all have ended. The first that fails
// stops the others.
func (d *appliance) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	part := func(name string, run func(context.Context) error) {
		group.Go(func() error {
			if err := run(ctx); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		})
	}
	part("dhcp", d.dhcp.Run)
	part("tftp", d.tftp.Run)
	part("http", func(ctx context.Context) error { return serve(ctx, d.http, d.ends.http, false) })
	part("https", func(ctx context.Context) error { return serve(ctx, d.https, d.ends.https, true) })
	part("web", d.web.Run)
	part("notices", d.machines.run)
	part("enroll", d.enroll.Run)
	if d.cluster != nil {
		part("cluster", d.cluster.Run)
		if d.cluster.zero != nil {
			part("node zero", d.cluster.zero.run)
		}
	}
	part("upkeep", d.upkeep.Run)
	part("images", d.kits.run)
	if d.mirror != nil {
		part("packages", d.mirror.Run)
	}
	if d.router != nil {
		part("router", d.router.Run)
	}
	return group.Wait()
}

// drain is how long a stopping daemon waits for answers that are under way. An
// agent repeats what it was not answered.
const drain = 2 * time.Second

func serve(ctx context.Context, srv *http.Server, l net.Listener, secure bool) error {
	served := make(chan error, 1)
	go func() {
		if secure {
			served <- srv.ServeTLS(l, "", "")
		} else {
			served <- srv.Serve(httpboot.Gather(l))
		}
	}()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	if srv.Shutdown(grace) != nil {
		_ = srv.Close() // who is not done by now is cut off
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// loaders are the network boot programs: the operator's, else the embedded
// ones.
func (im Images) loaders() images.Loaders {
	l := images.Loaders{Embedded: embedded.FS(), Override: map[string]string{}}
	for platform, file := range im.Loaders {
		l.Override[boot.Loader(platform)] = file
	}
	return l
}
