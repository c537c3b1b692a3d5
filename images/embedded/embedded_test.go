package embedded_test

import (
	"io/fs"
	"strings"
	"testing"

	"provision.internal/images/embedded"
)

// README.md is always there; the rest depends on what was built before.
func TestFS(t *testing.T) {
	if b, err := fs.ReadFile(embedded.FS(), "README.md"); err != nil || len(b) == 0 {
		t.Errorf("README.md: %d bytes, %v", len(b), err)
	}
}

func TestAgent(t *testing.T) {
	if _, err := embedded.Agent("riscv64"); err == nil {
		t.Error("there is an agent for riscv64")
	}
	for _, arch := range []string{"x86_64", "x86_64-musl", "aarch64", "aarch64-musl"} {
		b, err := embedded.Agent(arch)
		if err != nil && !strings.Contains(err.Error(), "run make build") {
			t.Errorf("Agent(%s): %v, want the binary or what to do", arch, err)
		}
		if err == nil && !strings.HasPrefix(string(b), "\x7fELF") {
			t.Errorf("Agent(%s) is no ELF file", arch)
		}
	}
}
