// Package daemon is the appliance: it reads a configuration, starts every part,
// joins them, and stops them. What the parts do is theirs; which part knows
// which is decided here and nowhere else.
package daemon
