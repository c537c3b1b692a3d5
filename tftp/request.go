package tftp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// Operation codes of RFC 1350.
const (
	opRead  = 1
	opWrite = 2
	opError = 5
)

// Error codes of RFC 1350 and RFC 2347.
const (
	codeAccess  = 2
	codeIllegal = 4
	codeOptions = 8
)

// Limits on what is asked and answered.
const (
	// requestSize is the longest request that RFC 2347 allows.
	requestSize = 512
	// blockDefault is the block of a client that asks for no other.
	blockDefault = 512
	// blockLimit is the largest blksize that RFC 2348 allows.
	blockLimit = 65464
	// blockSize fills an Ethernet frame: 1500 - 20 (IP) - 8 (UDP) - 4 (TFTP).
	blockSize = 1468
)

// request is a read request, checked.
type request struct {
	name  string // as fs.FS takes it
	mode  string // "octet" or "netascii"
	block int    // 0: the client does not ask
	size  bool   // the client asks for the file's size
}

// refusal is a request that gets an ERROR packet at once.
type refusal struct {
	code uint16
	text string
	name string
}

func (r *refusal) Error() string { return r.text }

// errMalformed is a packet that gets no answer: it is no request, or from
// nobody who speaks TFTP.
var errMalformed = errors.New("not a TFTP request")

// parseRequest reads a packet from the server's port. Its error is a *refusal or
// errMalformed.
func parseRequest(p []byte) (request, error) {
	if len(p) < 2 || len(p) > requestSize {
		return request{}, errMalformed
	}
	op, rest := binary.BigEndian.Uint16(p), p[2:]
	if op != opRead && op != opWrite {
		return request{}, errMalformed
	}
	raw, rest, ok1 := cutString(rest)
	mode, rest, ok2 := cutString(rest)
	if !ok1 || !ok2 {
		return request{}, errMalformed
	}
	if op == opWrite {
		return request{}, &refusal{codeAccess, "this server is read-only", raw}
	}
	r := request{mode: strings.ToLower(mode)}
	if r.mode != "octet" && r.mode != "netascii" {
		return request{}, &refusal{codeIllegal, "mode is neither octet nor netascii", raw}
	}
	if r.name, ok1 = cleanName(raw); !ok1 {
		return request{}, &refusal{codeAccess, "no such file name here", raw}
	}
	r.options(rest)
	return r, nil
}

// options reads what follows the mode. Some ROMs pad the packet, so that whatever
// is no pair of strings ends the options instead of spoiling the request.
func (r *request) options(p []byte) {
	for {
		name, rest, ok1 := cutString(p)
		value, rest, ok2 := cutString(rest)
		if !ok1 || !ok2 || name == "" {
			return
		}
		p = rest
		switch strings.ToLower(name) {
		case "blksize":
			if n, err := strconv.Atoi(value); err == nil && n >= blockDefault && n <= blockLimit {
				r.block = min(n, blockSize)
			}
		case "tsize":
			// In netascii the size on the wire is not the file's.
			r.size = r.mode == "octet"
		}
	}
}

// packet writes r for the library, under the name that the library will hand back.
func (r request) packet(name string) []byte {
	var b bytes.Buffer
	b.Write([]byte{0, opRead})
	put := func(s ...string) {
		for _, s := range s {
			b.WriteString(s)
			b.WriteByte(0)
		}
	}
	put(name, r.mode)
	if r.block != 0 {
		put("blksize", strconv.Itoa(r.block))
	}
	if r.size {
		put("tsize", "0")
	}
	return b.Bytes()
}

// errorPacket is an ERROR as it goes to the client.
func errorPacket(code uint16, text string) []byte {
	b := binary.BigEndian.AppendUint16([]byte{0, opError}, code)
	return append(append(b, text...), 0)
}

// cleanName makes a firmware's file name one that fs.FS takes, or says that there
// is none. GRUB asks for "/grub/grub.cfg" and "//grub.cfg", Windows' loaders
// write backslashes, and a ROM whose option 67 ends without a NUL adds the
// option list's terminator, 0xFF. A name with ".." never leaves the root: it is
// refused rather than resolved, as is everything that no boot file is called.
func cleanName(raw string) (string, bool) {
	name := strings.TrimSuffix(raw, "\xff")
	name = strings.ReplaceAll(name, `\`, "/")
	for _, c := range []byte(name) {
		if c < ' ' || c == 0x7f {
			return "", false
		}
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", false
		}
	}
	name = strings.TrimLeft(name, "/")
	if name == "" {
		return "", false
	}
	name = path.Clean(name)
	return name, name != "." && fs.ValidPath(name)
}

// cutString takes a string that a NUL ends from the front of p.
func cutString(p []byte) (s string, rest []byte, ok bool) {
	before, after, ok := bytes.Cut(p, []byte{0})
	if !ok {
		return "", nil, false
	}
	return string(before), after, true
}
