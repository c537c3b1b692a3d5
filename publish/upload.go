package publish

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// upload sends images to a registry, and counts what the registry did not have.
type upload struct {
	*registry
	progress func(name string, done, of int64)
	layers   int
	sent     int64 // bytes
}

// base returns the image below. That of a file is taken from the registry when it
// was pushed before, and pushed else.
func (u *upload) base(ctx context.Context, b base) (v1.Image, error) {
	if b.key == "" {
		return b.image()
	}
	tag := u.repo.Tag("base-" + b.key[:32])
	image, err := remote.Image(tag, append(u.options, remote.WithContext(ctx))...)
	switch {
	case err == nil:
		return image, nil
	case status(err) != http.StatusNotFound:
		return nil, explain(u.repo.Registry, err)
	}
	if image, err = b.image(); err != nil {
		return nil, fmt.Errorf("%w %s: %w", ErrBase, b.name, err)
	}
	if err := u.image(ctx, tag, image); err != nil {
		return nil, explain(u.repo.Registry, err)
	}
	return image, nil
}

// image sends the layers that the registry does not have, the configuration, and
// then the manifest under its tag.
func (u *upload) image(ctx context.Context, tag name.Tag, image v1.Image) error {
	layers, err := image.Layers()
	if err != nil {
		return err
	}
	for i, l := range layers {
		sent := &counted{Layer: l, progress: u.progress, name: fmt.Sprintf("layer %d of %d", i+1, len(layers))}
		var send v1.Layer = sent
		// A layer of another repository of the same registry need not travel.
		if m, ok := l.(*remote.MountableLayer); ok {
			sent.Layer = m.Layer
			send = &remote.MountableLayer{Layer: sent, Reference: m.Reference}
		}
		if err := u.pusher.Upload(ctx, u.repo, send); err != nil {
			return err
		}
		if sent.opened {
			size, err := l.Size()
			if err != nil {
				return err
			}
			u.layers, u.sent = u.layers+1, u.sent+size
		}
	}
	config, err := partial.ConfigLayer(image)
	if err != nil {
		return err
	}
	if err := u.pusher.Upload(ctx, u.repo, config); err != nil {
		return err
	}
	return u.pusher.Put(ctx, tag, image)
}

// counted is a layer that notices that it is sent.
type counted struct {
	v1.Layer
	name     string
	progress func(name string, done, of int64)
	opened   bool
}

// Compressed is called when the registry does not have the layer, and once more
// for each time that it is sent again.
func (c *counted) Compressed() (io.ReadCloser, error) {
	r, err := c.Layer.Compressed()
	if err != nil {
		return nil, err
	}
	c.opened = true
	if c.progress == nil {
		return r, nil
	}
	size, err := c.Layer.Size()
	return &countedReader{ReadCloser: r, layer: c, of: size}, err
}

type countedReader struct {
	io.ReadCloser
	layer    *counted
	done, of int64
}

func (r *countedReader) Read(b []byte) (int, error) {
	n, err := r.ReadCloser.Read(b)
	if r.done += int64(n); n > 0 {
		r.layer.progress(r.layer.name, r.done, r.of)
	}
	return n, err
}
