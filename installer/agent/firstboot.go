package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"

	"provision.internal/installer"
)

// placeFirstBoot leaves behind what enrols the new system: the agent itself, its
// one-time token, and the service that runs it.
func (in *install) placeFirstBoot(context.Context) error {
	if err := in.copySelf(); err != nil {
		return fmt.Errorf("copy the agent: %w", err)
	}
	config, err := json.MarshalIndent(installer.EnrolConfig{Host: in.plan.Host, FirstBoot: in.plan.FirstBoot}, "", "  ")
	if err != nil {
		return err
	}
	if err := in.target.write(installer.EnrolFile, 0o600, string(config)+"\n"); err != nil {
		return err
	}
	service := path.Join(installer.ServiceDir, installer.FirstBootService)
	if err := in.target.write(path.Join(service, "run"), 0o755, installer.FirstBootRun()); err != nil {
		return err
	}
	return in.target.link(service, path.Join(installer.EnabledDir, installer.FirstBootService))
}

func (in *install) copySelf() error {
	from, err := os.Open(in.self)
	if err != nil {
		return err
	}
	defer from.Close()
	name := inside(installer.AgentBinary)
	if err := in.target.write(installer.AgentBinary, 0o755, ""); err != nil {
		return err
	}
	to, err := in.target.OpenFile(name, os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(to, from); err != nil {
		to.Close()
		return err
	}
	return to.Close()
}
