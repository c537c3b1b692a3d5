package web

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/user"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Listen opens the operators' socket with mode 0660: whoever may write to it
// is an operator. A socket that a daemon left behind is replaced; one on which
// a daemon listens is ErrInUse, and anything else at path is left alone.
func Listen(path string) (net.Listener, error) {
	if err := clearStale(path); err != nil {
		return nil, err
	}
	// Until the chmod the umask decides, and every usual one leaves writing,
	// and so connecting, to the owner.
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("operators' socket: %w; check that its folder exists and can be written", err)
	}
	if err := os.Chmod(path, 0o660); err != nil {
		return nil, errors.Join(fmt.Errorf("operators' socket: %w", err), l.Close())
	}
	return l, nil
}

func clearStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("operators' socket: %w", err)
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("operators' socket: %s exists and is no socket; move it away or set server.socket", path)
	}
	conn, err := net.Dial("unix", path)
	if err == nil {
		_ = conn.Close() // nothing was sent
		return fmt.Errorf("operators' socket %s: %w; stop it or set server.socket", path, ErrInUse)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("operators' socket: %w", err)
	}
	return os.Remove(path)
}

type actorKey struct{}

// withPeer puts the name of the user at the other end of c into ctx. The
// kernel vouches for it (SO_PEERCRED).
func withPeer(ctx context.Context, c net.Conn) context.Context {
	name := "unknown"
	if u, ok := c.(*net.UnixConn); ok {
		if uid, err := peerUID(u); err == nil {
			name = userName(uid)
		}
	}
	return context.WithValue(ctx, actorKey{}, "operator:"+name)
}

func actor(r *http.Request) string {
	if a, ok := r.Context().Value(actorKey{}).(string); ok {
		return a
	}
	return "operator:unknown"
}

func peerUID(c *net.UnixConn) (uint32, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return 0, err
	}
	if credErr != nil {
		return 0, credErr
	}
	return cred.Uid, nil
}

func userName(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return "uid-" + id
}
