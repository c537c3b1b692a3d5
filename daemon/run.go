package daemon

import (
	"context"
	"log/slog"
)

func Run(ctx context.Context, cfg Config, log *slog.Logger, version string) error { return nil }
