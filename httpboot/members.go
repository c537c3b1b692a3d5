package httpboot

import (
	"context"
	"crypto/x509"
	"net/netip"

	"provision.internal/host"
	"provision.internal/installer"
)

// Members decides what installed hosts are in the cluster, and makes what they
// need for it.
type Members interface {
	// Stage returns what h is to be by now, and what it waits for if it is to get
	// further, in words for a person. It is asked often and does not block.
	Stage(h host.Host) (stage installer.Stage, waits string)
	// Join makes what h needs to be that. first says that h has had no files for a
	// client since its installation.
	Join(ctx context.Context, h host.Host, stage installer.Stage, first bool) (Membership, error)
	// Heard says that the system of h has told of itself since it was given what
	// it has: what waits for it may look at once.
	Heard(h host.Host)
	// Changed returns a channel that is closed when Stage may answer otherwise
	// although no host has changed.
	Changed() <-chan struct{}
}

// Membership is what makes a host a part of the cluster.
type Membership struct {
	Files     []installer.File
	Names     []string     // in its certificate, beside its own name
	Addresses []netip.Addr // in its certificate
	Issuer    Issuer       // that signs its certificate; the appliance's own authority when nil
}

// Issuer completes and signs the certificate of key, and returns it in PEM.
type Issuer interface {
	Sign(c *x509.Certificate, key any) ([]byte, error)
}
