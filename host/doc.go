// Package host holds what the appliance knows of a machine: its identity,
// state, grant, inventory, lease and history, with the rules that connect
// them. It does no input or output and never asks for the time: callers pass
// it in. Package store keeps the values; every other package reads them.
package host
