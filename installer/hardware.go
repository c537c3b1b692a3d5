package installer

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"provision.internal/host"
)

// Hardware is what a role expects of its machines. A machine that differs is
// not written to. Zero amounts expect nothing.
type Hardware struct {
	Memory Amount `mapstructure:"memory"` // installed, in bytes
	CPUs   Amount `mapstructure:"cpus"`   // logical processors
	Disks  Amount `mapstructure:"disks"`
	NICs   Amount `mapstructure:"nics"`
}

// Amount is a number that is expected exactly, at least or at most: "2", ">= 4",
// "<= 64GiB".
type Amount struct {
	op    string // "", ">=" or "<="
	value uint64
	text  string // as it was written
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (a *Amount) UnmarshalText(b []byte) error {
	text := strings.TrimSpace(string(b))
	n := Amount{text: text}
	digits := text
	for _, op := range []string{">=", "<="} {
		if rest, ok := strings.CutPrefix(text, op); ok {
			n.op, digits = op, strings.TrimSpace(rest)
		}
	}
	var err error
	if n.value, err = strconv.ParseUint(digits, 10, 32); err != nil {
		n.value, err = parseSize(strings.ReplaceAll(digits, " ", ""))
	}
	if err != nil {
		return fmt.Errorf("%q is no amount: want a whole number, or >= or <= with one, such as 2, >= 4 or >= 16GiB", text)
	}
	*a = n
	return nil
}

func (a Amount) String() string { return a.text }

// holds reports whether something that has n, of which up to slack may be
// hidden, is as a says.
func (a Amount) holds(n, slack uint64) bool {
	switch a.op {
	case ">=":
		return n+slack >= a.value
	case "<=":
		return n <= a.value
	}
	return a.text == "" || n == a.value
}

// ErrHardware is wrapped when a machine is not what its role expects.
var ErrHardware = errors.New("not the hardware that the role expects")

// Check returns every difference between h and the machine as one ErrHardware.
func (h Hardware) Check(inv host.Inventory) error {
	var differ []string
	for _, c := range []struct {
		what  string
		want  Amount
		n     uint64
		slack uint64
		show  func(uint64) string
	}{
		// Firmware, graphics and the kernel keep a part of the memory to themselves,
		// so that a machine with 16 GiB shows 15 to Linux.
		{"memory", h.Memory, inv.Memory, inv.Memory / 8, memoryText},
		{"processors", h.CPUs, uint64(inv.CPUs), 0, countText},
		{"disks", h.Disks, uint64(len(inv.Disks)), 0, countText},
		{"network cards", h.NICs, uint64(len(inv.NICs)), 0, countText},
	} {
		if !c.want.holds(c.n, c.slack) {
			differ = append(differ, fmt.Sprintf("%s %s, wanted %s", c.show(c.n), c.what, c.want))
		}
	}
	if len(differ) == 0 {
		return nil
	}
	return fmt.Errorf("%w: it has %s", ErrHardware, strings.Join(differ, "; "))
}

func countText(n uint64) string { return strconv.FormatUint(n, 10) }

func memoryText(n uint64) string { return fmt.Sprintf("%.1f GiB of", float64(n)/(1<<30)) }

// validate names the amounts that no machine can have.
func (h Hardware) validate(f *faults) {
	if h.Memory.text != "" && h.Memory.op == "" {
		f.add("hardware.memory", "no machine shows exactly %s to its system: write >= %s", h.Memory, h.Memory)
	}
	for _, c := range []struct {
		key  string
		want Amount
	}{{"cpus", h.CPUs}, {"disks", h.Disks}, {"nics", h.NICs}} {
		if c.want.value >= 1<<20 {
			f.add("hardware."+c.key, "%s is a size where a number is wanted", c.want)
		}
	}
}
