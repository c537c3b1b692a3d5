// Package imagestest is a stand-in for what Void publishes: a mirror with repositories and a
// release, small and strict, signed with keys of its own. It is for tests.
package imagestest

import (
	"bytes"
	"debug/elf"
	"encoding/binary"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"provision.internal/xbps"
)

// KernelRelease is the release of the stand-in's kernel, as uname tells it.
const KernelRelease = "6.12.1_1"

// KernelFiles is a kernel as its package has it, with a few modules, in every
// compression that distributions use. lib is the folder of the modules; image is vmlinuz or vmlinux.
func KernelFiles(lib, image string) []xbps.File {
	dir := lib + "/modules/" + KernelRelease + "/"
	file := func(name string, b []byte) xbps.File { return xbps.Regular(dir+name, 0o644, b) }
	return []xbps.File{
		xbps.Regular("boot/"+image+"-"+KernelRelease, 0o644, []byte("the kernel")),
		xbps.Regular("boot/config-"+KernelRelease, 0o644, []byte("CONFIG_X=y\n")),
		file("modules.builtin", []byte("kernel/lib/builtin.ko\n")),
		file("kernel/drivers/virtio/virtio.ko", Module("name=virtio\x00depends=builtin\x00")),
		file("kernel/drivers/virtio/virtio_ring.ko.xz", squeeze(Module("depends=\x00"))),
		file("kernel/drivers/net/virtio_net.ko.zst", Zstd(Module("alias=virtio:d00000001v*\x00depends=virtio,virtio-ring,failover\x00"))),
		file("kernel/net/core/failover.ko", Module("description=two\nlines\x00")),
		file("kernel/fs/ext4/ext4.ko", Module("alias=fs-ext4\x00softdep=pre: crc32c\x00")),
		file("kernel/crypto/crc32c_generic.ko", Module("alias=crypto-crc32c\x00")),
		file("kernel/drivers/gpu/drm/drm.ko", []byte("not even looked at")),
		file("kernel/drivers/tty/serial/other.ko", Module("depends=\x00")),
	}
}

// Module is the smallest relocatable ELF file with a .modinfo section.
func Module(modinfo string) []byte {
	const names = "\x00.modinfo\x00.shstrtab\x00"
	header := elf.Header64{
		Type: uint16(elf.ET_REL), Machine: uint16(elf.EM_X86_64), Version: 1,
		Shoff: 64, Ehsize: 64, Shentsize: 64, Shnum: 3, Shstrndx: 2,
	}
	copy(header.Ident[:], "\x7fELF\x02\x01\x01")
	data := uint64(64 + 3*64)
	var b bytes.Buffer
	for _, v := range []any{
		header,
		elf.Section64{},
		elf.Section64{Name: 1, Type: uint32(elf.SHT_PROGBITS), Off: data, Size: uint64(len(modinfo))},
		elf.Section64{Name: 10, Type: uint32(elf.SHT_STRTAB), Off: data + uint64(len(modinfo)), Size: uint64(len(names))},
	} {
		if err := binary.Write(&b, binary.LittleEndian, v); err != nil {
			panic(err) // a buffer takes everything
		}
	}
	return append(b.Bytes(), modinfo+names...)
}

// Zstd compresses b.
func Zstd(b []byte) []byte {
	z, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err) // there is no option to be wrong
	}
	defer z.Close()
	return z.EncodeAll(b, nil)
}

func squeeze(b []byte) []byte {
	var buf bytes.Buffer
	w, err := xz.NewWriter(&buf)
	if err == nil {
		_, err = w.Write(b)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		panic(err) // a buffer takes everything
	}
	return buf.Bytes()
}
