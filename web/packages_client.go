package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
)

// Snapshots lists the snapshots, the newest first.
func (c *Client) Snapshots(ctx context.Context) (all []Snapshot, err error) {
	return all, c.call(ctx, http.MethodGet, pathSnapshots, nil, &all)
}

// Freeze makes a snapshot called name with all packages that the roles need. It calls step with
// what is going on.
func (c *Client) Freeze(ctx context.Context, name string, step func(Step)) (Snapshot, error) {
	return longCall[Step, Snapshot](ctx, c, pathSnapshots, freeze{Name: name}, step)
}

// Complete fetches what the roles need of the snapshot called name.
func (c *Client) Complete(ctx context.Context, name string, step func(Step)) (Snapshot, error) {
	return longCall[Step, Snapshot](ctx, c, fill(pathComplete, name), struct{}{}, step)
}

// Thaw removes the snapshot called name.
func (c *Client) Thaw(ctx context.Context, name string) error {
	return c.call(ctx, http.MethodDelete, fill(pathSnapshot, name), nil, &struct{}{})
}

// Export returns the bundle of the snapshot called name, which must be complete. Write of the
// result must be called, once.
func (c *Client) Export(ctx context.Context, name string) (Export, error) {
	res, err := c.do(ctx, http.MethodGet, fill(pathExport, name), nil)
	if err != nil {
		return Export{}, err
	}
	packages, err := strconv.Atoi(res.Header.Get(headerPackages))
	if err != nil {
		return Export{}, errors.Join(fmt.Errorf("export: %w", err), res.Body.Close())
	}
	return Export{
		Key: res.Header.Get(headerKey), KeyMade: res.Header.Get(headerKeyMade) == "true", Packages: packages, Size: res.ContentLength,
		Write: func(w io.Writer) error {
			n, err := io.Copy(w, res.Body)
			if err == nil && n != res.ContentLength {
				err = io.ErrUnexpectedEOF
			}
			return errors.Join(err, res.Body.Close())
		},
	}, nil
}

// Import sends a bundle. An empty key takes whoever signed it, if trust says so.
func (c *Client) Import(ctx context.Context, r io.Reader, key string, trust bool) (in Imported, err error) {
	query := url.Values{"key": {key}, "trust": {strconv.FormatBool(trust)}}
	res, err := c.do(ctx, http.MethodPost, pathImport+"?"+query.Encode(), r)
	if err != nil {
		return in, err
	}
	defer func() { _ = res.Body.Close() }() // nothing to flush
	return in, json.NewDecoder(res.Body).Decode(&in)
}
