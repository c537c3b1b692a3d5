package images

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Loaders are the network boot programs by their upstream names ("snponly.efi"),
// as a file system: the operator's files where there are any, else the embedded ones.
type Loaders struct {
	Embedded fs.FS             // embedded.FS()
	Override map[string]string // name → file of the operator's
}

// Open implements fs.FS.
func (l Loaders) Open(name string) (fs.File, error) {
	if file, ok := l.Override[name]; ok {
		f, err := os.Open(file)
		if err != nil {
			return nil, fmt.Errorf("the configured loader for %s: %w", name, err)
		}
		return f, nil
	}
	f, err := l.Embedded.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		// The path error stays inside: servers tell absence by it.
		return nil, fmt.Errorf("loader %s: %w: this binary was built without it; run make build, or name a file of yours below images.loaders", name, err)
	}
	return f, err
}

// Check reports every one of names that cannot be served.
func (l Loaders) Check(names ...string) error {
	var faults []error
	for _, name := range names {
		f, err := l.Open(name)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
			faults = append(faults, fmt.Errorf("loader %s: not a file with content", name))
		}
		f.Close()
	}
	return errors.Join(faults...)
}
