package routertest

import "maps"

// rebootCommands restart the router and bring backups back.
func rebootCommands() map[string]command {
	return map[string]command{
		"/system/reboot": {needs: "reboot", run: func(r *Router, _ *call) ([]record, error) {
			r.reboot()
			return nil, nil
		}},
	}
}

// reboot restarts the router: connections die at once, the one that asked for
// it without an answer, and new ones are refused until it is up again. What is
// only in its memory is gone: history, the log, safe mode. Changes that floated
// in safe mode stay. [?]
func (r *Router) reboot() {
	r.sessions = map[*session]bool{}
	r.history = nil
	r.tables["/log"].rows = nil
	r.dynamics.forget()
	r.dynamics.down = true
	r.after(bootTime, func() {
		r.dynamics.down = false
		r.started = r.clock.Now()
		r.log("system,info", "router rebooted")
		r.derive()
		r.followAll()
	})
	for c := range r.conns { // last: whoever hears of it may advance the clock at once
		c.cut = true
		c.end()
	}
}

// backup is what /system/backup/save has kept: the rows as they were, which
// are never altered. The keys of certificates stay with the router, by row.
type backup struct {
	tables   map[string][]*row
	password string
}

func backupCommands() map[string]command {
	all := rebootCommands()
	all["/system/backup/save"] = command{
		params: []string{"name", "password", "encryption", "dont-encrypt"}, needs: "policy", run: (*Router).saveBackup,
	}
	all["/system/backup/load"] = command{
		params: []string{"name", "password", "force-v6-to-v7-configuration-upgrade"}, needs: "policy", run: (*Router).loadBackup,
	}
	return all
}

// volatile are the menus that no backup, export or snapshot holds.
var volatile = map[string]bool{
	"/interface": true, "/interface/bridge/host": true, "/ip/neighbor": true, "/routing/bgp/session": true,
	"/system/clock": true, "/system/resource": true, "/system/routerboard": true, "/system/package": true,
	"/system/history": true, "/system/device-mode": true, "/log": true, "/file": true, "/user/active": true,
}

// saveBackup writes NAME.backup. Without a name it is called after the
// router and the time.
func (r *Router) saveBackup(c *call) ([]record, error) {
	name, _ := c.get("name")
	if name == "" {
		name = r.tables["/system/identity"].rows[0].fields["name"] + r.clock.Now().UTC().Format("-20060102-1504")
	}
	password, _ := c.get("password")
	kept := &backup{tables: map[string][]*row{}, password: password}
	for path, t := range r.tables {
		if volatile[path] {
			continue
		}
		for _, one := range t.rows {
			if !one.dynamic() {
				kept.tables[path] = append(kept.tables[path], one)
			}
		}
	}
	name = withSuffix(name, ".backup")
	r.dynamics.backups[name] = kept
	r.writeFile(name, "backup of "+r.clock.Now().UTC().Format(stamp)+"\n"+r.snapshot())
	return nil, nil
}

// loadBackup puts back what a backup holds and restarts the router.
func (r *Router) loadBackup(c *call) ([]record, error) {
	name, _ := c.get("name")
	kept := r.dynamics.backups[withSuffix(name, ".backup")]
	if kept == nil {
		return nil, noMatch("name")
	}
	if password, _ := c.get("password"); password != kept.password {
		return nil, trap(categoryGeneral, "failure: wrong password")
	}
	for path, t := range r.tables {
		if !volatile[path] {
			t.rows = append([]*row(nil), kept.tables[path]...)
		}
	}
	r.derive()
	for path := range maps.Keys(r.tables) {
		r.touch(path)
	}
	r.reboot()
	return nil, nil
}
