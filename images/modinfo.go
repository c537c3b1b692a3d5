package images

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"unicode"
)

// module is what a kernel module says of itself.
type module struct {
	path     string // below lib/modules/RELEASE, as in its package: "kernel/fs/ext4/ext4.ko.xz"
	name     string // as the kernel knows it: "crc32c_generic"
	depends  []string
	soft     []string // modules or aliases wanted before or after it
	aliases  []string
	firmware []string // files below lib/firmware, possibly with wildcards
}

// parseModule reads the .modinfo section of an uncompressed module.
func parseModule(file string, image []byte) (module, error) {
	m := module{path: file, name: moduleName(file)}
	f, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return m, err
	}
	section := f.Section(".modinfo")
	if section == nil {
		return m, errors.New("no kernel module: it has no .modinfo")
	}
	info, err := section.Data()
	if err != nil {
		return m, err
	}
	for field := range bytes.SplitSeq(info, []byte{0}) {
		key, value, _ := strings.Cut(string(field), "=")
		switch key {
		case "depends":
			for d := range strings.SplitSeq(value, ",") {
				if d != "" {
					m.depends = append(m.depends, canonical(d))
				}
			}
		case "softdep":
			for w := range strings.FieldsSeq(value) {
				if w != "pre:" && w != "post:" {
					m.soft = append(m.soft, w)
				}
			}
		case "alias":
			// It becomes a word of a line of modules.alias.
			if value == "" || strings.ContainsFunc(value, unicode.IsSpace) {
				return m, fmt.Errorf("%q is no alias", value)
			}
			m.aliases = append(m.aliases, value)
		case "firmware":
			if !fs.ValidPath(value) || value == "." {
				return m, fmt.Errorf("%q is no name of a firmware file", value)
			}
			m.firmware = append(m.firmware, value)
		}
	}
	return m, nil
}

// moduleName is the name by which the kernel knows a module file.
func moduleName(file string) string {
	name, _, _ := strings.Cut(path.Base(file), ".ko")
	return canonical(name)
}

// canonical: to the kernel dashes and underscores in module names are the same.
func canonical(name string) string { return strings.ReplaceAll(name, "-", "_") }
