package nomad

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/hashicorp/nomad/api"
)

const streamPath = "/v1/event/stream"

// errSilent: the stream is open and says nothing, not even its heartbeat.
var errSilent = errors.New("the event stream is silent")

// events is one line of the stream; a heartbeat has none. Payloads are decoded
// into the stubs of the listings: the stream carries whole objects, most of
// which nobody here reads.
type events struct {
	Index  uint64
	Events []struct{ Payload payload }
}

// payload is what changed: one of its fields is set.
type payload struct {
	Node       *api.NodeListStub
	Allocation *api.AllocationListStub
	Evaluation *api.Evaluation
}

// stream delivers what happens from index on until it breaks, and says why. It
// is read here and not by the library, which hides the heartbeats: since Nomad
// 1.11.2 a stream that is denied answers 200, stays open and is silent.
func (c *Cluster) stream(ctx context.Context, index uint64, deliver func(context.Context, events) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	dog := time.AfterFunc(c.pace.firstBeat, func() { cancel(errSilent) })
	defer dog.Stop()

	path := fmt.Sprintf("%s?topic=Node&topic=Allocation&topic=Evaluation&index=%d", streamPath, index)
	body, err := c.api.Raw().Response(path, query(ctx))
	if err != nil {
		return c.broken(ctx, err)
	}
	defer body.Close()
	lines := json.NewDecoder(body)
	for {
		var e events
		if err := lines.Decode(&e); err != nil {
			return c.broken(ctx, err)
		}
		// Delivering may wait for the cluster, which is not its silence.
		dog.Stop()
		if err := deliver(ctx, e); err != nil {
			return err
		}
		dog.Reset(c.pace.silence)
	}
}

// broken names the cause of a stream's end.
func (c *Cluster) broken(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return fmt.Errorf("event stream: %w", explain(err))
}

// checkToken asks whether a silent stream was denied. A cluster without ACLs
// answers 400 before Nomad 1.10.1, which is no refusal.
func (c *Cluster) checkToken(ctx context.Context) error {
	return c.call(ctx, "check the token", func(ctx context.Context) error {
		_, _, err := c.api.ACLTokens().Self(query(ctx))
		if code, _ := answer(err); code == http.StatusBadRequest {
			return nil
		}
		return err
	})
}
