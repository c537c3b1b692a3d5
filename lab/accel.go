package lab

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Acceleration is how QEMU runs a guest's instructions.
type Acceleration string

// The accelerations.
const (
	KVM Acceleration = "kvm" // by the processor
	TCG Acceleration = "tcg" // by translation: works everywhere, several times slower
)

// tcgAccelerator is emulation with two threads, one a virtual processor.
const tcgAccelerator = "tcg,thread=multi,tb-size=256"

// arguments: under emulation the processor has all that QEMU can emulate,
// because Go's cryptography and the kernel's random numbers (RDRAND) are
// quicker for it.
func (a Acceleration) arguments() []string {
	if a == KVM {
		return []string{"-accel", "kvm", "-cpu", "host"}
	}
	return []string{"-accel", tcgAccelerator, "-cpu", "max"}
}

// probeLimit bounds the probe guest, which needs a few milliseconds where KVM
// works.
const probeLimit = 5 * time.Second

// exitCode is what the probe guest writes to the debug-exit device; QEMU then
// exits with 2*exitCode+1.
const exitCode = 0x2a

// acceleration tells what guests may use, from a probe that is made once for a
// base folder: on some computers /dev/kvm opens and yet its guests hang, so
// only a guest that has run proves anything.
func (r *Rack) acceleration(ctx context.Context) (Acceleration, error) {
	cache := filepath.Join(filepath.Dir(r.Dir), "acceleration")
	if text, err := os.ReadFile(cache); err == nil {
		if a := Acceleration(text); a == KVM || a == TCG {
			return a, nil
		}
	}
	a, err := Probe(ctx)
	if err != nil {
		return "", err
	}
	r.Log.Info("probed acceleration", "use", a)
	return a, os.WriteFile(cache, []byte(a), 0o644)
}

// Probe runs a tiny guest under KVM and returns KVM when it has come to its end
// in time.
func Probe(ctx context.Context) (Acceleration, error) {
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		return TCG, nil
	}
	f.Close()
	ran, err := probeGuest(ctx, KVM)
	if err != nil {
		return "", err
	}
	if ran {
		return KVM, nil
	}
	return TCG, nil
}

// probeGuest reports whether a guest that writes exitCode to port 0xf4 and
// does nothing else comes to that under a. The BIOS, and so ordinary 16-bit
// and 32-bit code, runs before it.
func probeGuest(ctx context.Context, a Acceleration) (bool, error) {
	sector := make([]byte, 512)
	copy(sector, []byte{
		0xb0, exitCode, // mov al, exitCode
		0xe6, 0xf4, // out 0xf4, al
		0xf4,       // hlt
		0xeb, 0xfd, // jmp back to hlt
	})
	binary.LittleEndian.PutUint16(sector[510:], 0xaa55)
	dir, err := os.MkdirTemp("", "provision-probe-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir)
	boot := filepath.Join(dir, "boot.img")
	if err := os.WriteFile(boot, sector, 0o644); err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	args := []string{
		"-machine", "pc,graphics=off", "-m", "32", "-nodefaults", "-display", "none", "-no-reboot",
		"-device", "isa-debug-exit,iobase=0xf4,iosize=1",
		"-drive", "format=raw,file=" + boot,
	}
	err = exec.CommandContext(ctx, "qemu-system-x86_64", append(args, a.arguments()...)...).Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return exit.ExitCode() == 2*exitCode+1, nil
	case err != nil && ctx.Err() == nil:
		return false, fmt.Errorf("probe QEMU: %w; make deps installs it", err)
	}
	return false, nil
}
