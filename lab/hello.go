package lab

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/cavaliergopher/cpio"

	"provision.internal/host"
)

// Hello is how quickly the installer speaks, beside what its kernel needs.
type Hello struct {
	Init  time.Duration // QEMU's start until the installer's kernel runs an init that does nothing
	Agent time.Duration // the same start until the appliance has the agent's inventory
}

// Ratio is the agent's share over the floor.
func (h Hello) Ratio() float64 { return h.Agent.Seconds() / h.Init.Seconds() }

// MeasureHello boots the installer's kernel twice, loaded by QEMU itself: into
// an empty init, and into the installer in the rack's network. No other guest
// should run meanwhile.
func (r *Rack) MeasureHello(ctx context.Context) (h Hello, err error) {
	kernel, initrd, err := r.installerFiles(ctx)
	if err != nil {
		return h, err
	}
	if h.Init, err = r.emptyInit(ctx, kernel); err != nil {
		return h, fmt.Errorf("boot an empty init: %w", err)
	}
	if h.Agent, err = r.hello(ctx, kernel, initrd); err != nil {
		return h, fmt.Errorf("boot the installer: %w", err)
	}
	return h, nil
}

// emptyInit boots the installer's kernel, without firmware of a network card or
// a disk, into an init that says one word.
func (r *Rack) emptyInit(ctx context.Context, kernel string) (time.Duration, error) {
	const word = "the init runs"
	dir, err := os.MkdirTemp(r.Dir, "init-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return 0, fmt.Errorf("%w: make deps installs busybox-static", err)
	}
	program, err := os.ReadFile(busybox)
	if err != nil {
		return 0, err
	}
	initrd, err := archive(map[string][]byte{
		"init":    []byte("#!/busybox sh\necho " + word + "\nexec /busybox sleep 1000\n"),
		"busybox": program,
	})
	if err != nil {
		return 0, err
	}
	file := filepath.Join(dir, "initrd")
	if err := os.WriteFile(file, initrd, 0o644); err != nil {
		return 0, err
	}
	console := filepath.Join(dir, "console.log")
	stop, start, err := r.direct(ctx, kernel, file, "console=ttyS0", console)
	if err != nil {
		return 0, err
	}
	defer stop()
	err = await(ctx, func() (bool, error) {
		log, err := os.ReadFile(console)
		return err == nil && bytes.Contains(log, []byte(word)), nil
	})
	return time.Since(start), err
}

// hello boots the installer's kernel with its initrd in the rack's network, as a
// machine that nobody has admitted.
func (r *Rack) hello(ctx context.Context, kernel, initrd string) (time.Duration, error) {
	mac := host.MAC{0x52, 0x54, 0x00} // another machine at each run: the appliance must not know it yet
	rand.Read(mac[3:])
	const tap = "tap-hello"
	if err := r.addTap(ctx, tap); err != nil {
		return 0, err
	}
	defer run(context.WithoutCancel(ctx), "ip", "-n", r.namespace(), "link", "del", tap) //nolint:errcheck // goes with the namespace at the latest
	// A machine without any disk is not a fair one: the agent waits for one to appear.
	disk := r.path("hello.img")
	if err := os.WriteFile(disk, nil, 0o600); err != nil {
		return 0, err
	}
	defer os.Remove(disk)
	if err := os.Truncate(disk, 2<<30); err != nil {
		return 0, err
	}
	console := r.path("hello-console.log")
	stop, start, err := r.direct(ctx, kernel, initrd, "console=ttyS0 provision.mac="+mac.String(), console,
		"-netdev", "tap,id=net0,ifname="+tap+",script=no,downscript=no",
		"-device", "virtio-net-pci,netdev=net0,romfile=,mac="+mac.String(),
		"-drive", "if=none,id=disk0,file="+disk+",format=raw", "-device", "nvme,drive=disk0,serial=LAB-hello")
	if err != nil {
		return 0, err
	}
	defer stop()
	err = await(ctx, func() (bool, error) {
		h, err := r.Client().Host(ctx, mac.String())
		return err == nil && h.Inventory != nil, nil
	})
	return time.Since(start), err
}

// direct starts a guest that QEMU itself loads a kernel into. stop ends it.
func (r *Rack) direct(ctx context.Context, kernel, initrd, cmdline, console string, more ...string) (stop func(), start time.Time, err error) {
	accel, err := r.acceleration(ctx)
	if err != nil {
		return nil, start, err
	}
	args := append(accel.arguments(), "-machine", "q35,graphics=off", "-m", "1024", "-smp", "2",
		"-nodefaults", "-display", "none", "-vga", "none", "-serial", "file:"+console,
		"-kernel", kernel, "-initrd", initrd, "-append", cmdline)
	argv := r.Inside(append(append([]string{"qemu-system-x86_64"}, args...), more...)...)
	guest, stopGuest := context.WithCancel(ctx)
	cmd := exec.CommandContext(guest, argv[0], argv[1:]...)
	start = time.Now()
	if err := cmd.Start(); err != nil {
		stopGuest()
		return nil, start, err
	}
	return func() {
		stopGuest()
		_ = cmd.Wait() // it was killed: that is how it ends
	}, start, nil
}

// installerFiles are the kernel and initrd that the appliance serves.
func (r *Rack) installerFiles(ctx context.Context) (kernel, initrd string, err error) {
	images, err := r.Client().Images(ctx)
	if err != nil {
		return "", "", err
	}
	file := map[string]string{}
	for _, i := range images {
		if i.Kind == "installer" && i.State == "ready" {
			file[i.Name] = r.path("state", "images", i.Hash)
		}
	}
	if file["kernel"] == "" || file["initrd"] == "" {
		return "", "", errors.New("the appliance has no installer image: see provision images list")
	}
	return file["kernel"], file["initrd"], nil
}

// archive makes an uncompressed initramfs of programs.
func archive(files map[string][]byte) ([]byte, error) {
	var b bytes.Buffer
	w := cpio.NewWriter(&b)
	for name, content := range files {
		if err := w.WriteHeader(&cpio.Header{Name: name, Mode: cpio.TypeReg | 0o755, Size: int64(len(content))}); err != nil {
			return nil, err
		}
		if _, err := w.Write(content); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), w.Close()
}

// await asks until done says yes.
func await(ctx context.Context, done func() (bool, error)) error {
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}
