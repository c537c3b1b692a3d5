// Package xbps reads, verifies, resolves and writes packages and repositories
// in the format of Void Linux's XBPS. It works on readers and folders: it
// opens no connection and installs nothing.
package xbps
