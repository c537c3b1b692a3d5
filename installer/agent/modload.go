package agent

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

// moduleInitCompressedFile is MODULE_INIT_COMPRESSED_FILE of linux/module.h.
const moduleInitCompressedFile = 4

// loadModule loads one module file. A compressed one is given to the kernel as
// it is; a kernel that cannot unpack it (before 5.17, or another method than the
// one that it was built for) gets it unpacked.
func loadModule(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	compressed := !strings.HasSuffix(path, ".ko")
	flags := 0
	if compressed {
		flags = moduleInitCompressedFile
	}
	err = unix.FinitModule(int(f.Fd()), "", flags)
	switch {
	case err == nil, errors.Is(err, unix.EEXIST):
		return nil
	case !compressed || !refusesCompressed(err):
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	image, err := unpackModule(path, f)
	if err != nil {
		return err
	}
	if err := unix.InitModule(image, ""); err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	return nil
}

func refusesCompressed(err error) bool {
	for _, e := range []error{unix.EOPNOTSUPP, unix.EINVAL, unix.ENOEXEC, unix.ENOSYS} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// unpackModule unpacks zstd, which is how the appliance packs the modules of
// every initrd. Other methods would only make the agent slower to start.
func unpackModule(path string, r io.Reader) ([]byte, error) {
	if !strings.HasSuffix(path, ".zst") {
		return nil, fmt.Errorf("%s: unknown compression: want .ko or .ko.zst", path)
	}
	d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	defer d.Close()
	b, err := io.ReadAll(d)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return b, nil
}
