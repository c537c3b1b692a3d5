// Package routertest simulates a MikroTik router: RouterOS v7 as a client of
// its binary API meets it, over real TLS sockets. It keeps configuration and
// shows it as the device does: names resolved, defaults filled in, dynamic and
// computed rows, the device's own words of refusal. It forwards no packets.
//
// The menus are data (schema/*.txt). Every command, from a socket, a script, a
// timer or [Router.Do], goes through one function, do; every alteration goes
// through one function, change, so that history, undo and safe mode hold for
// all of them.
//
// What was not seen on a device is marked [?] where it is decided.
package routertest
