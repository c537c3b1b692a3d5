// Package web is how operators reach the appliance: an API in JSON over a unix
// socket, and its Go client. It checks what an operator asks for and has the
// store carry it out; nothing else in the appliance admits, reinstalls or
// retires a host.
package web
