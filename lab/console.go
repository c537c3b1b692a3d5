package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// Console connects the streams with the machine's serial port until in ends, the
// machine loses its power or ctx is done.
func (r *Rack) Console(ctx context.Context, name string, in io.Reader, out io.Writer) error {
	if _, err := r.Machine(name); err != nil {
		return err
	}
	if !r.Powered(name) {
		return fmt.Errorf("machine %s is off; what it said last is in %s", name, r.ConsoleLog(name))
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", r.consoleSocket(name))
	if err != nil {
		return fmt.Errorf("reach the console (one at a time): %w", err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	done := make(chan error, 2)
	go func() { _, err := io.Copy(out, conn); done <- err }()
	go func() { _, err := io.Copy(conn, in); done <- err }() // may stay in a read from a terminal; the program ends then
	if err := <-done; ctx.Err() == nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// ConsoleLog is the file with everything that the machine wrote to its serial
// port.
func (r *Rack) ConsoleLog(name string) string {
	return filepath.Join(r.machineDir(name), consoleLog)
}

// LastLines returns the end of a log, without the control sequences that
// firmware writes.
func LastLines(file string, n int) ([]string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var lines []string
	for line := range strings.Lines(plain(string(text))) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return lines[max(0, len(lines)-n):], nil
}

// plain drops terminal control sequences (ECMA-48 CSI) and other control
// characters; a return without a line feed starts a new line.
func plain(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == 0x1b && i+1 < len(s) && s[i+1] == '[':
			for i += 2; i < len(s) && (s[i] < 0x40 || s[i] > 0x7e); i++ {
			}
		case c == '\r':
			b.WriteByte('\n')
		case c == '\n' || c == '\t' || c >= ' ':
			b.WriteByte(c)
		}
	}
	return b.String()
}
