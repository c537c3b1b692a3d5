package bench

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Every server that is installed bears every load, in small, ours among them; and nothing
// of it is left.
func TestRunInSmall(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root for network namespaces")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("needs ip of iproute2: make deps installs it")
	}
	program := filepath.Join(t.TempDir(), "provision")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "provision.internal/cmd/provision").CombinedOutput(); err != nil {
		t.Fatalf("build our daemon: %v: %s", err, out)
	}
	r, err := Run(t.Context(), Options{
		Provision: program, Runs: 1, Quick: true,
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.WriteTable(t.Output()); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, row := range r.Rows {
		seen[row.Case+" "+row.Server] = true
		absent := strings.Contains(row.Note, "is not installed") && row.Server != ours
		if row.Note != "" && !absent {
			t.Errorf("%s, %s, %s: %s", row.Case, row.Measure, row.Server, row.Note)
		}
	}
	// One of the daemon, two with four servers, three with three, four with two.
	if len(seen) != 1+2*4+3*3+4*2 {
		t.Errorf("%d rows of cases and servers: %v", len(seen), seen)
	}
	for _, name := range leftovers(t) {
		t.Errorf("namespace %s is left", name)
	}
}

// A name that is no case's is an error rather than an empty table.
func TestRunOfNothing(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root for network namespaces")
	}
	_, err := Run(t.Context(), Options{Provision: "/bin/true", Only: "gopher", Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err == nil || !strings.Contains(err.Error(), `"gopher"`) {
		t.Errorf("Run = %v, want an error with the name", err)
	}
}

// leftovers are this process's namespaces.
func leftovers(t *testing.T) []string {
	all, err := os.ReadDir("/run/netns")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	ours := fmt.Sprintf("%d-", os.Getpid())
	var left []string
	for _, e := range all {
		if strings.HasPrefix(e.Name(), "bench-") && strings.Contains(e.Name(), ours) {
			left = append(left, e.Name())
		}
	}
	return left
}
