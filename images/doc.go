// Package images keeps the files that machines boot from: network boot
// loaders, kernels, initrds and the installer's userland. It assembles the last three from
// Void's own published files and stores them by the hash of their content. httpboot and tftp
// serve them; package xbps does the reading and verifying of packages.
package images
