// Package embedded carries the files that the build puts into the binary: the
// network boot loaders of Debian's packages and our own agents. It holds nothing else,
// so that every other package compiles before they are built.
package embedded

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
)

// all: because README.md alone is committed, and the folder must never be empty.
//
//go:embed all:files
var files embed.FS

// FS returns the embedded files.
func FS() fs.FS {
	sub, err := fs.Sub(files, "files")
	if err != nil {
		panic(err) // the name above is not a path
	}
	return sub
}

// agents names the agent binary for each architecture, as XBPS calls it.
var agents = map[string]string{
	"x86_64": "agent-amd64", "x86_64-musl": "agent-amd64",
	"aarch64": "agent-arm64", "aarch64-musl": "agent-arm64",
}

// Agent returns the static agent for machines of an architecture.
func Agent(arch string) ([]byte, error) {
	name, ok := agents[arch]
	if !ok {
		return nil, fmt.Errorf("there is no agent for the architecture %q", arch)
	}
	b, err := fs.ReadFile(FS(), name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("this binary was built without %s: run make build", name)
	}
	return b, err
}
