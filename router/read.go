package router

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"provision.internal/router/ros"
)

// Read reads all that plans are made of: a call for each menu and three more.
func Read(ctx context.Context, conn *ros.Conn) (State, error) {
	s := State{Rows: map[string][]ros.Row{}, Via: via(conn.RemoteAddr())}
	if err := s.system(ctx, conn); err != nil {
		return State{}, err
	}
	return s, s.menus(ctx, conn)
}

// Again reads the menus once more on the same session: a router keeps its
// release, its device mode and its ports as long as its sessions.
func (s State) Again(ctx context.Context, conn *ros.Conn) (State, error) {
	s.Rows = map[string][]ros.Row{}
	return s, s.menus(ctx, conn)
}

func (s *State) menus(ctx context.Context, conn *ros.Conn) error {
	for i := range menus {
		m := &menus[i]
		if !m.has(s.Version) {
			continue
		}
		rows, err := conn.Print(ctx, m.path, m.proplist(s.Version), m.query()...)
		if err != nil {
			return fmt.Errorf("read %s: %w", m.path, err)
		}
		s.Rows[m.path] = rows
	}
	return nil
}

// query leaves out what the router makes by itself. Rows that are not dynamic
// may have no such property: so it asks for "not dynamic=true".
func (m *menu) query() []string {
	if !m.dynamic {
		return nil
	}
	return []string{"?dynamic=true", "?#!"}
}

func (s *State) system(ctx context.Context, conn *ros.Conn) error {
	rows, err := conn.Print(ctx, "/system/resource", words("version"))
	if err != nil {
		return fmt.Errorf("read /system/resource: %w", err)
	}
	if len(rows) != 1 {
		return fmt.Errorf("read /system/resource: %d rows instead of one", len(rows))
	}
	if s.Version, err = ParseVersion(rows[0]["version"]); err != nil {
		return err
	}
	switch rows, err = conn.Print(ctx, "/system/device-mode", words("mode scheduler")); {
	case errors.Is(err, ros.ErrCommand): // before 7.17 there are no modes
		s.Mode.Scheduler = true
	case err != nil:
		return fmt.Errorf("read /system/device-mode: %w", err)
	case len(rows) == 1:
		s.Mode = DeviceMode{Name: rows[0]["mode"], Scheduler: rows[0]["scheduler"] != "no" && rows[0]["scheduler"] != "false"}
	}
	rows, err = conn.Print(ctx, "/interface/ethernet", words("name"))
	if err != nil {
		return fmt.Errorf("read /interface/ethernet: %w", err)
	}
	for _, r := range rows {
		s.Ethernets = append(s.Ethernets, r["name"])
	}
	return nil
}

// via is the router's address of a session.
func via(a net.Addr) netip.Addr {
	at, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap()
}
