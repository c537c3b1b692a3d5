package commit

import (
	"context"
	"errors"
	"fmt"

	"provision.internal/router/ros"
)

// maxBatch bounds the operations of one transaction. RouterOS keeps about 100
// actions in its history; one more than that ends safe mode silently, with
// nothing taken back. The rest is for what other sessions do meanwhile.
const maxBatch = 60

// take enters safe mode on conn and makes sure of it: from now on the router
// takes every change back when conn ends.
func take(ctx context.Context, conn *ros.Conn) error {
	_, err := conn.Call(ctx, "/safe-mode/take")
	if refused(err) {
		return fmt.Errorf("%w: %w; somebody may hold it: leave safe mode in that terminal or WinBox and apply again", ErrSafeMode, err)
	}
	if err != nil {
		return err
	}
	return holds(ctx, conn)
}

// holds makes sure that safe mode is conn's.
func holds(ctx context.Context, conn *ros.Conn) error {
	rows, err := conn.Run(ctx, "/safe-mode/print")
	switch {
	case err != nil:
		return err
	case len(rows) == 1 && yes(rows[0]["current"]):
		return nil
	}
	return fmt.Errorf("%w: the router says that our connection does not hold it; too many changes at a time end it, and another connection can", ErrSafeMode)
}

// release leaves safe mode and keeps the changes.
func release(ctx context.Context, conn *ros.Conn) error {
	_, err := conn.Call(ctx, "/safe-mode/release")
	return err
}

// unroll leaves safe mode and takes the changes back.
func unroll(ctx context.Context, conn *ros.Conn) error {
	_, err := conn.Call(ctx, "/safe-mode/unroll")
	return err
}

// refused tells a router's answer from a connection that is no more.
func refused(err error) bool {
	var trap *ros.Trap
	return errors.As(err, &trap)
}

// yes reads a truth value as either of RouterOS's spellings has it.
func yes(value string) bool { return value == "true" || value == "yes" }
