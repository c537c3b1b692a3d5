// Package images keeps the files that machines boot from: network boot
// loaders, kernels, initrds and the installer's userland. It assembles the last three from
// Void's own published files, which it fetches and verifies where they are not in a folder, and stores
// them by the hash of their content. httpboot and tftp serve them; package xbps does the reading
// and verifying of packages, images/release that of releases.
package images
