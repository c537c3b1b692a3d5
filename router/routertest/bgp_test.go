package routertest

import (
	"testing"
	"time"
)

func TestBGP(t *testing.T) {
	for _, version := range []string{"7.18.2", "7.24.2"} {
		t.Run(version, func(t *testing.T) {
			r, clock := start(t, Config{Version: version})
			var heard int
			r.OnChange(func(menu string) {
				if menu == "/routing/bgp/session" {
					heard++
				}
			})
			r.SetBGP("core", true)
			words := []string{"=name=core", "=remote.address=192.0.2.7", "=remote.as=64579", "=local.role=ibgp", "=hold-time=30s"}
			if version == "7.18.2" {
				words = append(words, "=as=64579")
			} else {
				must(t, r, "/routing/bgp/instance/add", "=name=i", "=as=64579")
				words = append(words, "=instance=i")
			}
			must(t, r, "/routing/bgp/connection/add", words...)
			if rows := r.Rows("/routing/bgp/session"); len(rows) != 0 {
				t.Fatalf("a session without an address in the peer's subnet: %v", rows)
			}
			must(t, r, "/ip/address/add", "=address=192.0.2.1/24", "=interface=ether2")
			clock.Advance(90 * time.Second)
			rows := r.Rows("/routing/bgp/session")
			if len(rows) != 1 || rows[0]["established"] != "true" || rows[0]["name"] != "core-1" || rows[0]["local.address"] != "192.0.2.1" ||
				rows[0]["uptime"] != "1m30s" || rows[0]["dynamic"] != "true" {
				t.Fatalf("sessions with the address: %v, want core established", rows)
			}
			r.SetBGP("core", false)
			if rows := r.Rows("/routing/bgp/session"); len(rows) != 1 || rows[0]["established"] != "" {
				t.Errorf("sessions when the peer is silent: %v, want core, not established", rows)
			}
			r.SetBGP("core", true)
			must(t, r, "/routing/bgp/connection/disable", "=numbers=core")
			if rows := r.Rows("/routing/bgp/session"); len(rows) != 0 {
				t.Errorf("sessions of a disabled connection: %v", rows)
			}
			if heard != 4 {
				t.Errorf("the watcher heard %d changes, want 4: up, down, up, gone", heard)
			}
		})
	}
}

func TestBGPSessionIsNotThereBeforeItWasUp(t *testing.T) {
	r, _ := start(t, Config{})
	must(t, r, "/ip/address/add", "=address=192.0.2.1/24", "=interface=ether2")
	must(t, r, "/routing/bgp/instance/add", "=name=i", "=as=64579")
	must(t, r, "/routing/bgp/connection/add", "=name=core", "=instance=i", "=remote.address=192.0.2.7", "=remote.as=64579", "=local.role=ibgp")
	if rows := r.Rows("/routing/bgp/session"); len(rows) != 0 {
		t.Errorf("sessions with a peer that doesn't answer: %v, want none", rows)
	}
	r.SetBGP("192.0.2.7", true)
	if rows := r.Rows("/routing/bgp/session"); len(rows) != 1 || rows[0]["established"] != "true" {
		t.Errorf("sessions once the peer answers: %v", rows)
	}
}
