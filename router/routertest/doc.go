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
//
// What happens by itself runs on [Config.Clock]: timers, scripts that wait,
// the end of sessions whose link is cut, roll-back, the reboot. Only what a
// client does to its socket reaches the router in real time; a test waits for
// it with [Router.AwaitSessions].
//
// Not reproduced: forwarding, offload, learning, spanning tree; answers and
// commands that were under way when a session's way was gone (they are dropped,
// where TCP would bring them when the way comes back); redo; the days of a
// scheduler entry; scripts' functions, :parse, :execute and abbreviated names;
// the negotiation of BGP; the words of some refusals.
package routertest
