package agent

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"provision.internal/installer"
)

// noUdev tells mdadm and libdevmapper that nobody else makes device nodes: they
// would wait for it.
var noUdev = []string{"MDADM_NO_UDEV=1", "DM_DISABLE_UDEV=1"}

// loadLayers loads the modules that the layout needs. The agent is the modprobe
// of its initrd: see Modprobe.
func (in *install) loadLayers(ctx context.Context, modules ...string) error {
	return in.command(ctx, Command{Args: append([]string{in.self, "-q", "--"}, modules...)})
}

// makeMirrors makes an array of each pair of partitions. The superblock is
// version 1.2: 4 KiB from the start, where neither a BIOS, nor GRUB, nor a person
// with a rescue system can take one half for a plain file system and change it
// alone. Version 1.0, at the end, would be for an ESP that firmware must read;
// here each disk has an ESP of its own instead, because firmware writes to one
// of them without the array's knowledge.
func (in *install) makeMirrors(ctx context.Context) error {
	if err := in.loadLayers(ctx, "raid1"); err != nil {
		return err
	}
	for _, v := range in.layout.volumes {
		err := in.command(ctx, Command{
			// Everything that is ever read was written through the array, to both
			// halves: a first synchronisation would copy empty space for hours, and
			// leave the second disk useless until its end.
			Args: append([]string{"mdadm", "--create", v.md, "--run", "--assume-clean", "--level=1", "--metadata=1.2", "--bitmap=internal",
				"--homehost=any", "--name=" + v.name, "--uuid=" + v.mdID, fmt.Sprintf("--raid-devices=%d", len(v.parts))}, v.parts...),
			Env: noUdev,
		})
		if err != nil {
			return err
		}
		in.open = append(in.open, []string{"mdadm", "--stop", v.md})
	}
	return nil
}

// keyFile is where the machine's own key for its encrypted devices is: on the
// encrypted root. It opens the other devices at boot, so that one passphrase is
// asked for, and lets the running system enrol further keys (a TPM's, a
// server's) without that passphrase.
const keyFile = "/etc/provision/luks.key"

// keyBytes is the length of that key: twice that of AES-256-XTS.
const keyBytes = 64

// encrypt makes and opens the encrypted devices. Key slot 0 is the operator's
// passphrase, slot 1 the machine's key. Both go to cryptsetup by standard input
// or by a file in memory, never by its arguments, which everyone can see.
func (in *install) encrypt(ctx context.Context) error {
	if err := in.loadLayers(ctx, "dm_mod", "dm_crypt", "xts"); err != nil {
		return err
	}
	key := make([]byte, keyBytes)
	if _, err := io.ReadFull(in.sys.Rand, key); err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	in.key = hex.EncodeToString(key) // text, so that it survives every editor and copy
	file := in.sys.path("/run/provision/luks.key")
	if err := writeFile(file, 0o400, []byte(in.key)); err != nil {
		return err
	}
	defer os.Remove(file)
	for _, v := range in.layout.volumes {
		if v.luks == "" {
			continue
		}
		for _, c := range in.cryptsetup(v, file) {
			c.Env = noUdev
			if err := in.command(ctx, c); err != nil {
				return err
			}
		}
		in.open = append(in.open, []string{"cryptsetup", "close", v.mapping()})
	}
	return nil
}

// cryptsetup returns the commands that make and open one encrypted device. The
// machine's key comes first: it is random, so that stretching it would only cost
// time, here and at each boot.
func (in *install) cryptsetup(v volume, key string) []Command {
	device, withKey := v.below(), "--key-file="+key
	commands := []Command{{Args: []string{"cryptsetup", "luksFormat", "--type=luks2", "--batch-mode", "--uuid=" + v.luks,
		"--pbkdf=pbkdf2", "--pbkdf-force-iterations=1000", "--key-slot=1", withKey, device}}}
	if v.fs != swapType { // in swap there is nothing to recover
		commands = append(commands, Command{Stdin: string(in.plan.Layout.Passphrase), Args: []string{"cryptsetup", "luksAddKey", "--batch-mode",
			fmt.Sprintf("--pbkdf-memory=%d", in.pbkdfMemory()), "--key-slot=0", withKey, device, "-"}})
	}
	return append(commands, Command{Args: []string{"cryptsetup", "open", "--type=luks2", withKey, device, v.mapping()}})
}

// pbkdfMemory is how many KiB Argon2 may use: an eighth of the memory, because
// the same has to be free in the initramfs of the installed system.
func (in *install) pbkdfMemory() uint64 {
	const least, most = 64 << 10, 1 << 20
	return min(max(in.sys.memory()/8/1024, least), most)
}

// closeDevices closes what the install opened, the last first. It may be called
// again.
func (in *install) closeDevices(ctx context.Context) error {
	var faults []error
	for len(in.open) > 0 {
		last := in.open[len(in.open)-1]
		in.open = in.open[:len(in.open)-1]
		faults = append(faults, in.command(ctx, Command{Args: last, Env: noUdev}))
	}
	return errors.Join(faults...)
}

// configureStorage tells the new system's initramfs and stage 1 how to put the
// devices together.
func (in *install) configureStorage() error {
	var files []installer.File
	var modules, arrays, tab []string
	for _, v := range in.layout.volumes {
		if v.md != "" {
			arrays = append(arrays, fmt.Sprintf("ARRAY /dev/md/%s metadata=1.2 UUID=%s", v.name, v.mdID))
		}
		if v.luks != "" && v.path != "/" {
			tab = append(tab, strings.Join([]string{v.mapping(), "UUID=" + v.luks, keyFile, "luks"}, "\t"))
		}
	}
	if len(arrays) > 0 {
		modules = append(modules, "mdraid")
		files = append(files, installer.File{Path: "/etc/mdadm.conf", Content: strings.Join(arrays, "\n") + "\n"})
	}
	if in.key != "" {
		modules = append(modules, "crypt")
		files = append(files, installer.File{Path: keyFile, Mode: 0o400, Content: in.key})
	}
	if len(tab) > 0 {
		files = append(files, installer.File{Path: "/etc/crypttab", Content: strings.Join(tab, "\n") + "\n"})
	}
	if len(modules) > 0 {
		// Without these words dracut looks at the running system, which is the installer.
		files = append(files, installer.File{Path: "/etc/dracut.conf.d/provision.conf",
			Content: "add_dracutmodules+=\" " + strings.Join(modules, " ") + " \"\nmdadmconf=\"yes\"\n"})
	}
	for _, f := range files {
		if err := in.target.write(f.Path, fileMode(f), f.Content); err != nil {
			return err
		}
	}
	return nil
}

// storageWords tell the initramfs which devices the root is made of. All arrays
// are named, not only the root's: an array that has lost a disk is started by
// dracut alone, and nothing in stage 1 would start the others.
func (in *install) storageWords() string {
	var words []string
	for _, v := range in.layout.volumes {
		if v.md != "" {
			words = append(words, "rd.md.uuid="+v.mdID)
		}
	}
	for _, v := range in.layout.volumes {
		if v.luks != "" && v.path == "/" {
			words = append(words, "rd.luks.uuid="+v.luks)
			if in.plan.Keymap != "" { // a passphrase is typed before stage 1 sets the keyboard up
				words = append(words, "rd.vconsole.keymap="+in.plan.Keymap)
			}
		}
	}
	return strings.Join(words, " ")
}
