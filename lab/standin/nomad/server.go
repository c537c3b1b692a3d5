package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"provision.internal/nomad/nomadtest"
)

// Nomad's own ports.
const (
	httpPort = 4646
	rpcPort  = 4647
)

// serve is the server part of the agent, until ctx ends. Its state is in the data
// folder.
func serve(ctx context.Context, cfg config) error {
	s := &nomadtest.Server{
		ACL: cfg.ACL != nil && cfg.ACL.Enabled, Dir: filepath.Join(cfg.DataDir, "server"),
		Members: []nomadtest.Member{{Name: cfg.Name + "." + cmp.Or(cfg.Region, "global"), Address: cfg.advertised()}},
		Strict:  cfg.Server.Introduction != nil && cfg.Server.Introduction.Enforcement == "strict",
	}
	port := httpPort
	if cfg.Ports != nil {
		port = cmp.Or(cfg.Ports.HTTP, port)
	}
	l, err := net.Listen("tcp", net.JoinHostPort(cmp.Or(cfg.BindAddr, "0.0.0.0"), strconv.Itoa(port)))
	if err != nil {
		return err
	}
	defer l.Close()
	if cfg.TLS != nil && cfg.TLS.HTTP {
		settings, err := cfg.TLS.server()
		if err != nil {
			return err
		}
		s.Mutual = cfg.TLS.RPC
		l = tls.NewListener(l, settings)
	}
	return s.Serve(ctx, l)
}

// advertised is the address that the server tells the others.
func (c config) advertised() string {
	port := strconv.Itoa(rpcPort)
	if c.Ports != nil && c.Ports.RPC != 0 {
		port = strconv.Itoa(c.Ports.RPC)
	}
	if c.Advertise != nil && c.Advertise.RPC != "" {
		if _, _, err := net.SplitHostPort(c.Advertise.RPC); err == nil {
			return c.Advertise.RPC
		}
		return net.JoinHostPort(c.Advertise.RPC, port)
	}
	if ip := net.ParseIP(c.BindAddr); ip != nil && !ip.IsUnspecified() {
		return net.JoinHostPort(c.BindAddr, port)
	}
	return net.JoinHostPort("127.0.0.1", port)
}

// read returns the certificates that peers are verified with, and the
// agent's own.
func (t tlsIs) read() (*x509.CertPool, tls.Certificate, error) {
	pem, err := os.ReadFile(t.CA)
	if err != nil {
		return nil, tls.Certificate{}, fmt.Errorf("tls.ca_file: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, tls.Certificate{}, fmt.Errorf("tls.ca_file: %s holds no certificate", t.CA)
	}
	own, err := tls.LoadX509KeyPair(t.Certificate, t.Key)
	if err != nil {
		return nil, tls.Certificate{}, fmt.Errorf("tls.cert_file and tls.key_file: %w", err)
	}
	return pool, own, nil
}

func (t tlsIs) server() (*tls.Config, error) {
	pool, own, err := t.read()
	if err != nil {
		return nil, err
	}
	verify := tls.VerifyClientCertIfGiven
	if t.VerifyClient {
		verify = tls.RequireAndVerifyClientCert
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{own}, ClientCAs: pool, ClientAuth: verify}, nil
}

// client wants the server's name in its certificate, which is the same for all of
// them, and no address.
func (t tlsIs) client(region string) (*tls.Config, error) {
	pool, own, err := t.read()
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{own}, RootCAs: pool,
		ServerName: "server." + cmp.Or(region, "global") + ".nomad",
	}, nil
}
