package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"provision.internal/cluster"
	"provision.internal/host"
	"provision.internal/images/embedded"
	"provision.internal/images/imagestest"
	"provision.internal/store"
	"provision.internal/web"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"provision": func() { os.Exit(run()) }})
}

// The scripts run the real command line against the real API over a real store.
// What DHCP, the installer and Nomad do to hosts is done by commands of the
// scripts' own:
//
//	seen MAC                         a machine asks for an address
//	host NAME STATE…                 the host goes through states
//	enrols NAME                      its installed system uses its token: it is Booted
//	ready NAME MAC                   the host is in the cluster
//	takes NAME MAC                   the machine takes the standing admission
//	strays NAME PORT                 the host is found on another port
//	host-fails NAME REASON           the host fails
//	step NAME STEP [quiet]           a step begins, with an event or without one
//	log NAME LINE                    the installer logs a line
//	wait-for NAME STATE              until an operator's command had that effect
//	void ARCH…                       a stand-in for Void's mirror; the configuration means it
//	void-down                        every request to it fails from now on
//	cluster-founded                  the servers have elected a leader
//	cluster-trouble REASON           the servers do not answer
//	recorded TEXT                    an event says so
//	damage GLOB                      one bit of the first of these files changes
//	registry                         a registry of images, at $REGISTRY
//	registry-down                    nobody answers there any more
func TestScripts(t *testing.T) {
	var void *imagestest.Void
	var images *httptest.Server
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			d, err := startDaemon(env.WorkDir)
			if err != nil {
				return err
			}
			env.Defer(d.stop)
			env.Values["daemon"] = d
			env.Setenv("PROVISION_SOCKET", d.socket)
			env.Setenv("EXAMPLES", absolute(t, "../../examples"))
			env.Setenv("TZ", "UTC")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"seen": func(ts *testscript.TestScript, _ bool, args []string) {
				mac, err := host.ParseMAC(args[0])
				ts.Check(err)
				d := daemonOf(ts)
				ts.Check(d.change(mac, "firmware", "asked for an address", func(h *host.Host) (err error) {
					h.Platform, h.Address = "uefi-x86_64", netip.AddrFrom4([4]byte{10, 77, 0, 100 + mac[5]})
					*h, err = h.Advance(host.Seen, time.Now())
					return err
				}))
			},
			"host": func(ts *testscript.TestScript, _ bool, args []string) {
				d := daemonOf(ts)
				for _, st := range args[1:] {
					ts.Check(d.change(d.mac(ts, args[0]), "test", "next", func(h *host.Host) (err error) {
						if host.State(st) == host.Installing {
							h.Grant.Place = false // nobody moves ports here
							*h, _, err = h.Burn(host.Claim{Disk: "DISK1", Secret: "s"}, time.Now())
							return err
						}
						*h, err = h.Advance(host.State(st), time.Now())
						return err
					}))
				}
			},
			"enrols": func(ts *testscript.TestScript, _ bool, args []string) {
				d := daemonOf(ts)
				ts.Check(d.change(d.mac(ts, args[0]), "first boot", "enrolled", func(h *host.Host) (err error) {
					h.Enrolment = &host.Enrolment{Used: time.Now()}
					*h, err = h.Advance(host.Booted, time.Now())
					return err
				}))
			},
			"ready": func(ts *testscript.TestScript, _ bool, args []string) {
				mac, err := host.ParseMAC(args[1])
				ts.Check(err)
				for _, st := range []host.State{host.Admitted, host.Failed, host.Booted, host.Joined, host.Configured, host.Ready} {
					ts.Check(daemonOf(ts).change(mac, "test", "next", func(h *host.Host) (err error) {
						h.Name, h.Role = args[0], "worker"
						if st == host.Failed { // the way around a grant
							*h, err = h.Fail("installed by hand", time.Now())
							return err
						}
						*h, err = h.Advance(st, time.Now())
						return err
					}))
				}
			},
			"takes": func(ts *testscript.TestScript, _ bool, args []string) {
				mac, err := host.ParseMAC(args[1])
				ts.Check(err)
				d := daemonOf(ts)
				for _, a := range d.store.Admissions() {
					if a.Name == args[0] {
						_, err := d.store.Take(a.ID, mac, "reconciler", "found on port "+a.Port)
						ts.Check(err)
						return
					}
				}
				ts.Fatalf("nobody awaits %s", args[0])
			},
			"strays": func(ts *testscript.TestScript, _ bool, args []string) {
				d := daemonOf(ts)
				ts.Check(d.change(d.mac(ts, args[0]), "reconciler", "it strayed", func(h *host.Host) (err error) {
					*h, _, err = h.FoundAt(host.Place{Port: args[1]}, time.Now())
					return err
				}))
			},
			"host-fails": func(ts *testscript.TestScript, _ bool, args []string) {
				d := daemonOf(ts)
				ts.Check(d.change(d.mac(ts, args[0]), "agent", "", func(h *host.Host) (err error) {
					*h, err = h.Fail(strings.Join(args[1:], " "), time.Now())
					return err
				}))
			},
			"step": func(ts *testscript.TestScript, _ bool, args []string) {
				d := daemonOf(ts)
				mac := d.mac(ts, args[0])
				ts.Check(d.change(mac, "agent", "", func(h *host.Host) error {
					h.Progress = host.Progress{Step: args[1]}
					return nil
				}))
				if len(args) == 2 {
					ts.Check(d.store.Record(host.Event{MAC: mac, Kind: host.KindProgress, Actor: "agent", Cause: args[1]}))
				}
			},
			"log": func(ts *testscript.TestScript, _ bool, args []string) {
				d := daemonOf(ts)
				ts.Check(d.store.Record(host.Event{MAC: d.mac(ts, args[0]), Kind: host.KindLog, Actor: "agent", Line: strings.Join(args[1:], " ")}))
			},
			"wait-for": func(ts *testscript.TestScript, _ bool, args []string) {
				d := daemonOf(ts)
				changed, stop := d.store.Watch()
				defer stop()
				for {
					if h, err := d.store.Named(args[0]); err == nil && h.State == host.State(args[1]) {
						return
					}
					<-changed
				}
			},
			"void": func(ts *testscript.TestScript, _ bool, args []string) {
				v := imagestest.NewVoid(t, args...)
				void = v
				for name, value := range map[string]string{"UPSTREAM": v.URL, "RELEASE": v.Release, "RELEASE_KEY": v.ReleaseKey, "KEYS": v.Keys} {
					ts.Setenv("PROVISION_IMAGES_"+name, value)
				}
			},
			"registry":      func(ts *testscript.TestScript, _ bool, _ []string) { images = runRegistry(ts) },
			"registry-down": func(*testscript.TestScript, bool, []string) { images.Close() },
			"void-down":     func(*testscript.TestScript, bool, []string) { void.Down(true) },
			"cluster-founded": func(ts *testscript.TestScript, _ bool, _ []string) {
				c := daemonOf(ts).cluster
				for !c.asked() {
					time.Sleep(time.Millisecond) // the command that asks runs beside the script
				}
				c.found()
			},
			"cluster-trouble": func(ts *testscript.TestScript, _ bool, args []string) {
				daemonOf(ts).cluster.change(func(st *cluster.Status) { st.Trouble = strings.Join(args, " ") })
			},
			"recorded": func(ts *testscript.TestScript, _ bool, args []string) {
				events, err := daemonOf(ts).store.Events(host.MAC{}, 0, 1000)
				ts.Check(err)
				for _, e := range events {
					if strings.Contains(e.Cause, strings.Join(args, " ")) {
						return
					}
				}
				ts.Fatalf("no event says so")
			},
			"damage": func(ts *testscript.TestScript, _ bool, args []string) {
				names, err := filepath.Glob(ts.MkAbs(args[0]))
				ts.Check(err)
				b, err := os.ReadFile(names[0])
				ts.Check(err)
				b[0] ^= 1
				ts.Check(os.Remove(names[0]))
				ts.Check(os.WriteFile(names[0], b, 0o444))
			},
		},
		Condition: func(name string) (bool, error) {
			if name != "agent" {
				return false, fmt.Errorf("there is no condition %q", name)
			}
			_, err := embedded.Agent("x86_64")
			return err == nil, nil
		},
	})
}

// testDaemon is the part of the daemon that the command line talks to.
type testDaemon struct {
	store   *store.Store
	socket  string
	cluster *scriptCluster
	stop    func()
}

func startDaemon(dir string) (*testDaemon, error) {
	st, err := store.Open(filepath.Join(dir, ".state"), map[host.State]time.Duration{host.Admitted: 24 * time.Hour})
	if err != nil {
		return nil, err
	}
	d := &testDaemon{store: st, socket: filepath.Join(dir, ".socket"), cluster: newScriptCluster(st)}
	l, err := web.Listen(d.socket)
	if err != nil {
		return nil, err
	}
	keep, err := newTestUpkeep(st)
	if err != nil {
		return nil, err
	}
	srv := &web.Server{
		Listener: l, Hosts: st, History: st, Log: slog.New(slog.DiscardHandler), Upkeep: keep, Cluster: d.cluster,
		Roles: []string{"storage", "worker"}, Packages: &shelf{}, Ports: ports{},
		Known: []web.Known{{Name: "core", MAC: host.MAC{0x52, 0x54, 0, 0, 0, 9}, Role: "storage", Disk: "COREDISK"}},
		Images: func() []web.Image {
			return []web.Image{
				{Name: "snponly.efi", Kind: "loader", Arch: "x86_64", State: "ready", Size: 173768, Hash: "18fc84b69172aa", Source: "embedded"},
				{Name: "installer", Kind: "installer", Arch: "x86_64", State: "failed", Error: "no kernel"},
			}
		},
		Status: func() web.Status {
			return web.Status{
				Version: web.Version{Version: "v1.2.3"}, PID: 42, Started: time.Now(), Address: "10.77.0.1",
				Parts: []web.Part{{Name: "http", Listen: ":80"}}, Counters: map[string]uint64{"dhcp received": 7, "dhcp naks": 0},
			}
		},
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- serveBoth(ctx, srv, keep) }()
	d.stop = func() {
		cancel()
		if err := <-done; err != nil {
			panic(fmt.Sprintf("the API ended with %v", err))
		}
		if err := st.Close(); err != nil {
			panic(err)
		}
	}
	return d, nil
}

func (d *testDaemon) change(mac host.MAC, actor, cause string, f func(*host.Host) error) error {
	_, err := d.store.Change(mac, actor, cause, f)
	return err
}

func (d *testDaemon) mac(ts *testscript.TestScript, name string) host.MAC {
	h, err := d.store.Named(name)
	ts.Check(err)
	return h.MAC
}

func daemonOf(ts *testscript.TestScript) *testDaemon { return ts.Value("daemon").(*testDaemon) }

func absolute(t *testing.T, name string) string {
	t.Helper()
	abs, err := filepath.Abs(name)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}

// ports are those of a router whose ether1 is the way out.
type ports struct{}

func (ports) ForHosts(port string) error {
	if port == "ether1" {
		return errors.New("port ether1 is no port for hosts: its role is uplink")
	}
	return nil
}
