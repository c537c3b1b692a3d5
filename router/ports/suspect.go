package ports

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"provision.internal/router"
)

// Suspect says who changed a port of the bridge last, beside the appliance, as far
// as the router's log and history tell; empty when they do not. Releases that log
// what was changed tell it of this very port, others of any.
func (p *Ports) Suspect(ctx context.Context, port string) (string, error) {
	c, err := p.Device.Dial(ctx)
	if err != nil {
		return "", fmt.Errorf("look who changed port %s: %w", port, err)
	}
	defer c.Close()
	row, err := p.row(ctx, c, port)
	if err != nil {
		return "", err
	}
	traces, err := router.ReadTraces(ctx, c)
	if err != nil {
		return "", fmt.Errorf("look who changed port %s: %w", port, err)
	}
	for _, t := range slices.Backward(traces) {
		// "bridge port changed by winbox:admin@192.0.2.9/action:5 (/interface bridge port set *4 pvid=99)"
		_, command, told := strings.Cut(t.What, "(")
		names := strings.FieldsFunc(command, func(c rune) bool { return strings.ContainsRune(" ,)", c) })
		if strings.Contains(t.What, "bridge port changed") && !p.ours(t.By) && (!told || slices.Contains(names, row[".id"])) {
			by, _, _ := strings.Cut(t.By, "/action:")
			return fmt.Sprintf("%s at %s by the router's clock", by, t.When), nil
		}
	}
	return "", nil
}

// ours reports whether the appliance goes by this name in the router's log, where
// it is "api:provision@192.0.2.2", or in its history, where it is the user alone.
func (p *Ports) ours(by string) bool {
	user := p.Device.Dialer.User
	return by == user || strings.HasPrefix(by, "api:"+user+"@") || strings.HasPrefix(by, "api-ssl:"+user+"@") ||
		by == "scheduler:"+user
}
