// Package boot decides what a machine runs next. It is pure: the same client,
// host and time always give the same step. dhcp and httpboot ask; store
// remembers. The URL paths that both speak of are here too.
package boot
