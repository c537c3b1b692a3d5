package main

import (
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"provision.internal/daemon"
)

func newServe(a *app) *cobra.Command {
	var level slog.Level
	var logJSON bool
	cmd := &cobra.Command{
		Use:     "serve",
		GroupID: groupDaemon,
		Short:   "Run the daemon",
		Long: `Run the daemon: DHCP, TFTP, HTTP, HTTPS, and the operators' socket. It stays in the
foreground and logs to standard error; SIGTERM stops it. A machine that is being
installed meanwhile waits for it and goes on.

It needs root, or the capabilities NET_ADMIN, NET_RAW and NET_BIND_SERVICE.

Every setting that is one value may also come from the environment:
  ` + strings.Join(environment(), "\n  "),
		Example: `  provision serve --config /etc/provision/provision.yaml
  PROVISION_NOMAD_ADDRESS=https://10.0.0.2:4646 provision serve`,
		Args: args(cobra.NoArgs),
	}
	cmd.Flags().TextVar(&level, "log-level", slog.LevelInfo, "least `level` to log: debug, info, warn or error")
	toggle(cmd, &logJSON, "log-json", "log JSON, for collectors")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := a.config()
		if err != nil {
			return err
		}
		var handler slog.Handler = slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: level})
		if logJSON {
			handler = slog.NewJSONHandler(a.err, &slog.HandlerOptions{Level: level})
		}
		return daemon.Run(cmd.Context(), cfg, slog.New(handler), version)
	}
	return cmd
}
