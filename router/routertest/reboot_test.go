package routertest

import (
	"crypto/tls"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestBackup(t *testing.T) {
	r, clock := start(t, Config{})
	must(t, r, "/interface/bridge/add", "=name=br0", "=vlan-filtering=yes")
	must(t, r, "/ip/pool/add", pool("a")...)
	was := r.Snapshot()
	c := dial(t, r)
	send(t, c, "/system/backup/save", "=name=before", "=dont-encrypt=yes")
	send(t, c, "/interface/bridge/port/add", "=bridge=br0", "=interface=ether3")
	send(t, c, "/ip/pool/remove", "=numbers=a")
	send(t, c, "/user/set", "=numbers=admin", "=password=other")
	if _, err := c.RunArgs([]string{"/system/backup/load", "=name=none"}); err == nil {
		t.Error("a backup that isn't there was loaded")
	}
	if _, err := c.RunArgs([]string{"/system/backup/load", "=name=before", "=password="}); err == nil {
		t.Error("load was answered, want the session to die")
	}
	awaitSessions(t, r, 0)
	if raw, err := tls.Dial("tcp", r.Addr(), &tls.Config{InsecureSkipVerify: true}); err == nil {
		raw.Close()
		t.Error("a session was made while the router starts")
	}
	clock.Advance(bootTime)
	if now := r.Snapshot(); now != was {
		t.Errorf("after the backup was loaded:\n%s\nwant:\n%s", now, was)
	}
	dial(t, r) // with the password of then
	if rows := r.Rows("/interface/bridge/vlan"); len(rows) != 1 || rows[0]["dynamic"] != "true" {
		t.Errorf("dynamic rows after the load: %v, want VLAN 1 of br0", rows)
	}
}

func TestReboot(t *testing.T) {
	r, clock := start(t, Config{})
	must(t, r, "/system/scheduler/add", entry("=interval=1h")...)
	must(t, r, "/system/script/add", "=name=slow", "=source=:delay 2h; /system/identity/set name=late")
	must(t, r, "/system/scheduler/add", "=name=s", "=interval=1h", "=on-event=slow")
	clock.Advance(time.Hour)
	c := dial(t, r)
	send(t, c, "/safe-mode/take")
	addPool(t, c, "floats")
	r.Faults().Reboot()
	if _, err := c.RunArgs([]string{"/system/identity/print"}); err == nil {
		t.Error("a session outlived the reboot")
	}
	clock.Advance(bootTime)
	if got := pools(r); got != "p0,floats" {
		t.Errorf("pools after the reboot: %q, want p0,floats", got)
	}
	again := dial(t, r)
	if row := send(t, again, "/safe-mode/print")[0]; row["holder"] != "" {
		t.Errorf("safe mode after the reboot: %v, want no holder", row)
	}
	if rows := send(t, again, "/system/history/print"); len(rows) != 0 {
		t.Errorf("history after the reboot: %v, want none", rows)
	}
	row := r.Rows("/system/scheduler")[0]
	if row["run-count"] != "0" || row["next-run"] != "2026-03-02 14:00:00" {
		t.Errorf("entry after the reboot: %v, want no run yet, the next at 14:00", row)
	}
	clock.Advance(3 * time.Hour)
	if name := r.Rows("/system/identity")[0]["name"]; name != "late" {
		t.Errorf("identity %q, want late: the script of 14:00 ends at 16:00 and that of 13:00 never", name)
	}
	if !logged(r, "router rebooted") {
		t.Error("the log doesn't tell of the reboot")
	}
}

// A call on its way when the router restarts isn't carried out afterwards.
func TestRebootDuringACall(t *testing.T) {
	r, clock := start(t, Config{})
	c := dial(t, r)
	r.Faults().OnCall(func(int, string) { r.Faults().Reboot() })
	if _, err := c.RunArgs([]string{"/safe-mode/take"}); err == nil {
		t.Error("the call was answered")
	}
	r.Faults().OnCall(nil)
	clock.Advance(bootTime)
	if row := send(t, dial(t, r), "/safe-mode/print")[0]; row["holder"] != "" {
		t.Errorf("safe mode after the reboot: %v, want no holder", row)
	}
}

func TestStartupEntriesRunAfterAReboot(t *testing.T) {
	r, clock := start(t, Config{})
	must(t, r, "/system/scheduler/add", entry("=start-time=startup")...)
	clock.Advance(time.Minute)
	r.Faults().Reboot()
	clock.Advance(bootTime + startupDelay)
	if got := pools(r); got != "p0,p1" {
		t.Errorf("pools after two starts: %q, want p0,p1", got)
	}
}

// What /export writes makes the same router out of a reset one.
func TestExport(t *testing.T) {
	r, _ := start(t, Config{})
	for _, line := range []string{
		"/interface/bridge/add =name=br0 =vlan-filtering=yes =comment=the_bridge",
		"/interface/vlan/add =name=lan0 =vlan-id=10 =interface=br0",
		"/interface/bridge/port/add =bridge=br0 =interface=ether6 =pvid=10 =frame-types=admit-only-untagged-and-priority-tagged =comment=provision:port/ether6",
		"/interface/bridge/vlan/add =bridge=br0 =vlan-ids=10 =tagged=br0,ether2",
		"/ip/address/add =address=192.0.2.1/24 =interface=lan0",
		"/ip/pool/add =name=lan =ranges=192.0.2.10-192.0.2.20",
		"/ip/dhcp-server/add =name=lan =interface=lan0 =address-pool=lan =lease-time=1h",
		"/ip/firewall/filter/add =chain=input =action=accept =connection-state=established,related",
		"/ip/firewall/filter/add =chain=input =action=drop",
		"/ip/dns/static/add =name=core.example =address=192.0.2.2",
		"/ip/dns/set =allow-remote-requests=yes",
		"/ip/service/set =numbers=telnet =disabled=yes",
		"/interface/ethernet/set =numbers=ether9 =comment=spare",
		"/system/identity/set =name=matrix-router",
		"/routing/bgp/instance/add =name=i =as=64579",
		"/routing/bgp/connection/add =name=core =instance=i =remote.address=192.0.2.7 =remote.as=64579 =local.role=ibgp",
	} {
		words := strings.Fields(line)
		must(t, r, words[0], words[1:]...)
	}
	must(t, r, "/system/script/add", "=name=s", "=source=:put \"$[/ip/pool/find]\"\r\n# \\ é")
	c := dial(t, r)
	send(t, c, "/export", "=file=before")
	text := ""
	for {
		piece := send(t, c, "/file/read", "=file=before.rsc", "=chunk-size=700", "=offset="+strconv.Itoa(len(text)))[0]["data"]
		if text += piece; piece == "" {
			break
		}
	}
	if !strings.HasPrefix(text, "# 2026-03-02 12:00:00 by RouterOS 7.24.2\n") || !strings.Contains(text, "\n/interface bridge\nadd ") {
		t.Errorf("export:\n%s", text)
	}
	for line := range strings.Lines(text) {
		if len(line) > 120 {
			t.Errorf("long line in the export: %s", line)
		}
	}
	again, _ := start(t, Config{})
	if err := again.RunScript(text); err != nil {
		t.Fatalf("run the export on a reset router: %v\n%s", err, text)
	}
	if now, was := again.Snapshot(), r.Snapshot(); withoutCertificates(now) != withoutCertificates(was) {
		t.Errorf("the export makes:\n%s\nof:\n%s\nexport:\n%s", now, was, text)
	}
}

// withoutCertificates leaves out the router's own certificate, which no export has.
func withoutCertificates(snapshot string) string {
	var kept []string
	for line := range strings.Lines(snapshot) {
		if !strings.HasPrefix(line, "/certificate") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

func TestFiles(t *testing.T) {
	r, _ := start(t, Config{})
	must(t, r, "/system/backup/save", "=name=b")
	must(t, r, "/file/add", "=name=note.txt", "=contents=hello")
	rows := r.Rows("/file")
	if len(rows) != 2 || rows[0]["name"] != "b.backup" || rows[0]["type"] != "backup" || rows[0]["contents"] != "" || rows[0]["size"] == "0" ||
		rows[1]["contents"] != "hello" || rows[1]["size"] != "5" {
		t.Errorf("files: %v", rows)
	}
	was := r.Snapshot()
	must(t, r, "/file/remove", "=numbers=b.backup")
	if _, err := r.Do("/system/backup/load", "=name=b", "=password="); err == nil {
		t.Error("a removed backup was loaded")
	}
	if r.Snapshot() != was || len(r.Rows("/system/history")) != 0 {
		t.Error("files are in the snapshot or the history")
	}
	for _, words := range [][]string{{"=file=none"}, {"=file=note.txt", "=chunk-size=40000"}, {"=file=note.txt", "=offset=-1"}} {
		if _, err := r.Do("/file/read", words...); err == nil {
			t.Errorf("/file/read %q worked", words)
		}
	}
}
