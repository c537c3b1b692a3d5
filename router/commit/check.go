package commit

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"provision.internal/router"
	"provision.internal/router/ros"
)

// managementWithin bounds how long a changed router may take to answer: its
// bridge learns addresses anew.
const managementWithin = 30 * time.Second

// checks looks from new connections whether the changed router does its work.
// Each result is kept in the record; the error is of the first that failed.
func (a *attempt) checks(ctx context.Context, o Options, want []router.Row, before []string) error {
	conn, err := a.reach(ctx, a.Device.Dialer)
	if err != nil {
		return a.failed("management", "%w", err)
	}
	defer conn.Close()
	for _, d := range a.Reach {
		other, err := a.reach(ctx, d)
		if err != nil {
			return a.failed("management", "%w", err)
		}
		other.Close()
	}
	a.passed("management", "%s answers a new connection and takes the login", a.Device.Dialer.Address)
	if err := a.checkDHCP(ctx, conn, want); err != nil {
		return err
	}
	if o.SkipBGP {
		a.passed("bgp", "not looked at, as was wished")
		return nil
	}
	return a.checkBGP(ctx, conn, want, before)
}

func (a *attempt) passed(name, format string, args ...any) {
	a.rec.Checks = append(a.rec.Checks, Check{Name: name, OK: true, Detail: fmt.Sprintf(format, args...)})
}

func (a *attempt) failed(name, format string, args ...any) error {
	err := fmt.Errorf("%w: %s: "+format, append([]any{ErrCheck, name}, args...)...)
	a.rec.Checks = append(a.rec.Checks, Check{Name: name, Detail: fmt.Sprintf(strings.ReplaceAll(format, "%w", "%v"), args...)})
	return err
}

// reach dials anew until the router answers a question.
func (a *attempt) reach(ctx context.Context, d ros.Dialer) (*ros.Conn, error) {
	until := a.now().Add(managementWithin)
	for {
		conn, err := d.Dial(ctx)
		if err == nil {
			if _, err = conn.Print(ctx, "/system/identity", nil); err == nil {
				return conn, nil
			}
			conn.Close()
		}
		if !a.now().Before(until) {
			return nil, err
		}
		if stop := a.sleep(ctx, time.Second); stop != nil {
			return nil, fmt.Errorf("%w: %w", stop, err)
		}
	}
}

// checkDHCP looks at the servers and relays that machines boot through: what
// the router itself says of them.
func (a *attempt) checkDHCP(ctx context.Context, conn *ros.Conn, want []router.Row) error {
	var good []string
	for _, menu := range []string{"/ip/dhcp-server", "/ip/dhcp-relay"} {
		names := wanted(want, menu)
		if len(names) == 0 {
			continue
		}
		rows, err := conn.Print(ctx, menu, []string{"name", "disabled", "invalid"})
		if err != nil {
			return a.failed("dhcp", "%w", err)
		}
		for _, name := range names {
			at := slices.IndexFunc(rows, func(r ros.Row) bool { return r["name"] == name })
			switch {
			case at < 0:
				return a.failed("dhcp", "%s has no row %s", menu, name)
			case yes(rows[at]["disabled"]):
				return a.failed("dhcp", "%s %s is disabled", menu, name)
			case yes(rows[at]["invalid"]):
				return a.failed("dhcp", "%s %s is invalid: the router cannot run it on its interface", menu, name)
			}
			good = append(good, menu+" "+name)
		}
	}
	if good == nil {
		a.passed("dhcp", "the router neither serves nor relays DHCP for us")
		return nil
	}
	a.passed("dhcp", "the router runs %s; that machines get an answer was not tried", strings.Join(good, ", "))
	return nil
}

// wanted are the names of the desired rows of a menu.
func wanted(want []router.Row, menu string) []string {
	var names []string
	for _, row := range want {
		if row.Menu != menu {
			continue
		}
		// Where a menu has no comments, the name carries the mark.
		names = append(names, cmp.Or(row.Fields["name"], "provision-"+row.Key))
	}
	return names
}

const (
	connections = "/routing/bgp/connection"
	sessions    = "/routing/bgp/session"
)

var sessionNumber = regexp.MustCompile(`-\d+$`)

// established lists the BGP connections that have a session which is up. A
// connection that never came up has no session at all.
func established(ctx context.Context, conn *ros.Conn) ([]string, error) {
	rows, err := conn.Print(ctx, sessions, []string{"name", "established"})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", sessions, err)
	}
	var up []string
	for _, row := range rows {
		if yes(row["established"]) {
			up = append(up, sessionNumber.ReplaceAllString(row["name"], ""))
		}
	}
	return up, nil
}

// checkBGP waits for the sessions that were up before, unless the plan removes
// them, and for those that the plan has to do with.
func (a *attempt) checkBGP(ctx context.Context, conn *ros.Conn, want []router.Row, before []string) error {
	need := a.needed(want, before)
	if len(need) == 0 {
		a.passed("bgp", "there is no session to wait for")
		return nil
	}
	within := cmp.Or(a.BGPWithin, DefaultBGPWithin)
	for until := a.now().Add(within); ; {
		up, err := established(ctx, conn)
		if err != nil {
			return a.failed("bgp", "%w", err)
		}
		var down []string
		for _, name := range need {
			if !slices.Contains(up, name) {
				down = append(down, name)
			}
		}
		if len(down) == 0 {
			a.passed("bgp", "established: %s", strings.Join(need, ", "))
			return nil
		}
		if !a.now().Before(until) {
			return a.failed("bgp", "%s: not established within %v; where the other side is not there yet, apply without waiting for BGP", strings.Join(down, ", "), within)
		}
		a.say("waiting for BGP: %s", strings.Join(down, ", "))
		if err := a.sleep(ctx, time.Second); err != nil {
			return a.failed("bgp", "%w", err)
		}
	}
}

// needed names the BGP connections that must be up after the change.
func (a *attempt) needed(want []router.Row, before []string) []string {
	touched := slices.ContainsFunc(a.rec.Plan.Operations, func(o router.Operation) bool { return strings.HasPrefix(o.Menu, "/routing/bgp/") })
	need := slices.Clone(before)
	if touched {
		need = append(need, wanted(want, connections)...)
	}
	for _, o := range a.rec.Plan.Operations {
		if o.Menu == connections && o.Kind == router.Remove {
			need = slices.DeleteFunc(need, func(name string) bool { return name == o.Before["name"] })
		}
	}
	slices.Sort(need)
	return slices.Compact(need)
}
