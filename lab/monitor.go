package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"
)

// Reset presses the machine's reset button.
func (r *Rack) Reset(ctx context.Context, name string) error {
	if _, err := r.Machine(name); err != nil {
		return err
	}
	if !r.Powered(name) {
		return fmt.Errorf("machine %s is off: lab power on %s", name, name)
	}
	return monitor(ctx, r.monitorSocket(name), "system_reset")
}

// monitor sends one command over QEMU's monitor protocol (QMP): a greeting, the
// capabilities' negotiation, the command; events may come in between.
func monitor(ctx context.Context, socket, command string) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return fmt.Errorf("reach QEMU: %w", err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	in, out := json.NewDecoder(conn), json.NewEncoder(conn)
	var greeting struct {
		QMP *struct{} `json:"QMP"`
	}
	if err := in.Decode(&greeting); err != nil || greeting.QMP == nil {
		return errors.Join(fmt.Errorf("%s does not greet as QEMU does", socket), err)
	}
	for _, c := range []string{"qmp_capabilities", command} {
		if err := out.Encode(map[string]string{"execute": c}); err != nil {
			return err
		}
		for {
			var answer struct {
				Return *struct{} `json:"return"`
				Error  *struct {
					Desc string `json:"desc"`
				} `json:"error"`
			}
			if err := in.Decode(&answer); err != nil {
				return fmt.Errorf("QEMU's answer to %s: %w", c, err)
			}
			if answer.Error != nil {
				return fmt.Errorf("QEMU refuses %s: %s", c, answer.Error.Desc)
			}
			if answer.Return != nil {
				break
			}
		}
	}
	return nil
}
