package bootstrap

import (
	"errors"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"provision.internal/golden"
	"provision.internal/router"
	"provision.internal/router/ros"
	"provision.internal/router/routertest"
)

// shown is a site for people to read the script of.
func shown() (router.Config, router.Inputs) {
	c := router.Config{User: "provision", Identity: "matrix-router", Bootstrap: router.Bootstrap{
		Interface: "ether1", VLAN: 99, Address: netip.MustParsePrefix("198.51.100.1/24"), Appliance: netip.MustParseAddr("198.51.100.2"),
	}}
	return c, router.Inputs{Appliance: netip.MustParseAddr("192.0.2.2")}
}

func TestScriptIsTheAcceptedOne(t *testing.T) {
	c, in := shown()
	for name, user := range map[string]string{"netinstall.rsc": "provision", "admin.rsc": "admin"} {
		c.User = user
		text, err := Script(c, in, `say "friend" for $5 \o/?`)
		if err != nil {
			t.Fatal(err)
		}
		golden.Check(t, name, text)
	}
}

func TestScriptIsRefused(t *testing.T) {
	c, in := shown()
	if text, err := Script(c, in, ""); err == nil || text != "" {
		t.Errorf("without a password: %q, %v; want an error", text, err)
	}
	c.Bootstrap = router.Bootstrap{}
	if text, err := Script(c, in, "x"); !errors.Is(err, ErrNoWayIn) || text != "" {
		t.Errorf("without a way in: %q, %v; want ErrNoWayIn", text, err)
	}
}

// The router that the script leaves takes the appliance in and nobody else.
func TestScriptLetsOnlyTheApplianceIn(t *testing.T) {
	for _, version := range []string{"7.18", "7.21", "7.24.2"} {
		t.Run(version, func(t *testing.T) {
			r := newRig(t, routertest.Config{Version: version})
			r.install()
			for _, s := range r.router.Rows("/ip/service") {
				open := s["name"] == "api-ssl" || s["name"] == "ssh"
				if (s["disabled"] != "true") != open {
					t.Errorf("service %s: disabled=%s", s["name"], s["disabled"])
				}
				want := r.config.Bootstrap.Appliance.String() + "/32," + r.appliance().String() + "/32"
				if open && s["address"] != want {
					t.Errorf("service %s is open for %q, want %q", s["name"], s["address"], want)
				}
			}
			for menu, closed := range map[string][2]string{
				"/ipv6/settings":   {"disable-ipv6", "true"},
				"/tool/mac-server": {"allowed-interface-list", "none"}, "/tool/mac-server/mac-winbox": {"allowed-interface-list", "none"},
				"/tool/mac-server/ping": {"enabled", "false"},
			} {
				if rows := r.router.Rows(menu); len(rows) != 1 || rows[0][closed[0]] != closed[1] {
					t.Errorf("%s is %v, want %s=%s", menu, rows, closed[0], closed[1])
				}
			}
			d := ros.Dialer{
				Address: r.config.Bootstrap.Address.Addr().String() + ":8729", User: "provision", Password: password,
				Pin: ros.Pin(r.router.Pin()), Source: r.config.Bootstrap.Appliance,
			}
			conn, err := d.Dial(t.Context())
			if err != nil {
				t.Fatalf("the appliance: %v", err)
			}
			conn.Close()
			d.User = "admin"
			if _, err := d.Dial(t.Context()); !errors.Is(err, ros.ErrLogin) {
				t.Errorf("admin without the password: %v, want ErrLogin", err)
			}
			d.User, d.Source, d.Timeout = "provision", d.Source.Next(), 300*time.Millisecond
			if _, err := d.Dial(t.Context()); !errors.Is(err, ros.ErrNoRoute) {
				t.Errorf("a neighbour of the appliance: %v, want no answer", err)
			}
			for _, entry := range r.router.Rows("/log") {
				if strings.Contains(entry["message"], "provision: ") && strings.Contains(entry["topics"], "error") || strings.Contains(entry["message"], "mlaut") {
					t.Errorf("the router's log has %q", entry["message"])
				}
			}
		})
	}
}

// It reruns: after each reset, and after what stopped it halfway.
func TestScriptRunsAgain(t *testing.T) {
	r := newRig(t, routertest.Config{})
	r.install()
	before, pin := r.router.Snapshot(), r.router.Pin()
	r.install()
	if after := r.router.Snapshot(); after != before {
		t.Errorf("the second run has changed\n%s\ninto\n%s", before, after)
	}
	if r.router.Pin() != pin {
		t.Error("the second run has made another certificate")
	}
}

// secret is what of a snapshot differs from router to router.
var secret = regexp.MustCompile(`(?m) (password|fingerprint|serial-number)=\S+|^/certificate .*$`)

// No value can be anything but a value: whatever the password and the identity
// are, the router ends up with the same rows, and takes the password.
func FuzzScript(f *testing.F) {
	for _, s := range []string{"x", password, "\"; /system/reset-configuration; :put \"", "$x $[/quit] \\", "a\r\nb\tc\x00\x7f", "\xff\xfe", "\\22", "]}{[", "%s{{.}}"} {
		f.Add(s, s)
	}
	c := site()
	in := router.Inputs{Appliance: c.VLANs[0].Address.Addr().Next()}
	run := func(t testing.TB, password, identity string) (*routertest.Router, string) {
		c.Identity = identity
		text, err := Script(c, in, password)
		if err != nil {
			t.Fatal(err)
		}
		clock := routertest.NewClock(begin)
		r := routertest.New(routertest.Config{NoCertificate: true, Clock: clock})
		t.Cleanup(r.Close)
		runScript(t, r, clock, text)
		rows := secret.ReplaceAllString(r.Snapshot(), "")
		return r, rows
	}
	_, want := run(f, "x", "name")
	f.Fuzz(func(t *testing.T, password, identity string) {
		if password == "" || len(password) > 1000 {
			t.Skip("nobody's password")
		}
		if len(identity) > 64 || strings.ContainsFunc(identity, func(r rune) bool { return r < ' ' || r > '~' }) {
			identity = "name" // the configuration may have no such one
		}
		_, got := run(t, password, "name")
		if got != want {
			t.Errorf("the password %q has changed the rows:\n%s\nwant\n%s", password, got, want)
		}
		r, _ := run(t, password, identity)
		if name := r.Rows("/certificate")[0]["common-name"]; identity != "" && name != identity {
			t.Errorf("the identity %q became %q", identity, name)
		}
		if err := r.Listen("127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Do("/ip/service/set", "=numbers=api-ssl", "=address="); err != nil {
			t.Fatal(err)
		}
		conn, err := ros.Dialer{Address: r.Addr(), User: c.User, Password: password, Pin: ros.Pin(r.Pin())}.Dial(t.Context())
		if err != nil {
			t.Fatalf("the password %q: %v", password, err)
		}
		conn.Close()
	})
}
