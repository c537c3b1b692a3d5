package provision_test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "provision.internal"

// The table "Packages" of ARCHITECTURE.md is the law: a package that is not in
// it, or an import that its row does not allow, fails here.
func TestImportsFollowTheTable(t *testing.T) {
	allowed := importTable(t)
	seen := map[string]bool{}
	for _, p := range listPackages(t) {
		name := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
		if len(p.GoFiles) == 0 {
			continue // holds tests only
		}
		seen[name] = true
		row, ok := allowed[name]
		if !ok {
			t.Errorf("package %s is not in the table of ARCHITECTURE.md: add its row", name)
			continue
		}
		for _, imp := range p.Imports {
			ours, ok := strings.CutPrefix(imp, module+"/")
			if ok && !slices.Contains(row, "*") && !slices.Contains(row, ours) {
				t.Errorf("%s imports %s, which its row in ARCHITECTURE.md does not allow", name, ours)
			}
		}
	}
	for name := range allowed {
		if !seen[name] {
			t.Errorf("ARCHITECTURE.md lists package %s, which does not exist", name)
		}
	}
}

// viper belongs to the command line: everything below takes plain structs.
func TestViperStaysInTheCommandLine(t *testing.T) {
	for _, p := range listPackages(t) {
		if slices.Contains(p.Imports, "github.com/spf13/viper") && p.ImportPath != module+"/cmd/provision" {
			t.Errorf("%s imports viper", p.ImportPath)
		}
	}
}

// importTable reads the rows "| `package` | what | imports |".
func importTable(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	table := map[string][]string{}
	_, section, _ := strings.Cut(string(text), "\n## Packages\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for line := range strings.Lines(section) {
		cells := strings.Split(line, "|")
		if len(cells) != 5 || !strings.Contains(cells[1], "`") {
			continue
		}
		name := strings.Trim(cells[1], " `")
		table[name] = nil
		for imp := range strings.SplitSeq(cells[3], ",") {
			if imp = strings.TrimSpace(imp); imp != "–" {
				table[name] = append(table[name], imp)
			}
		}
	}
	if len(table) < 10 {
		t.Fatalf("found %d rows in the table of ARCHITECTURE.md, want all packages", len(table))
	}
	return table
}

type goPackage struct {
	ImportPath string
	GoFiles    []string
	Imports    []string
}

func listPackages(t *testing.T) []goPackage {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,GoFiles,Imports", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []goPackage
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		all = append(all, p)
	}
}
