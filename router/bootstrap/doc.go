// Package bootstrap brings a router from its box to the site's configuration:
// the script that netinstall gives it, and the takeover that leads from there to
// the whole plan without losing the way in.
//
// The trap on that way is the port that the router is reached on. A port that
// becomes one of a bridge is a slave, and the VLAN that stands on it goes dead with
// every session over it. So the plan is applied twice: first from the bootstrap
// address, all but that port; then, when a new session has proven the production
// address, from there, with the way in removed. Each step is a commit of its own, which
// is taken back when it fails, and every step may be the first one of a new run.
package bootstrap
