package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"provision.internal/nomad/nomadtest"
)

// newClient makes the machine that cfg describes. Its identity is in the data
// folder and so survives a reboot, but no reinstallation.
func newClient(cfg config, log *slog.Logger) (*nomadtest.Client, error) {
	dir := filepath.Join(cfg.DataDir, "client")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data folder: %w", err)
	}
	c := &nomadtest.Client{
		Name: cfg.Name, Datacenter: cfg.Datacenter, Pool: cfg.Client.Pool, Class: cfg.Client.Class, Meta: cfg.Client.Meta,
		Task: nomadtest.RawExec{Dir: filepath.Join(cfg.DataDir, "alloc")}.Run, Log: log,
	}
	secured := cfg.TLS != nil && cfg.TLS.RPC
	var err error
	if c.Server, err = httpAddress(cfg.Client.Servers, secured); err != nil {
		return nil, err
	}
	if secured {
		settings, err := cfg.TLS.client(cfg.Region)
		if err != nil {
			return nil, err
		}
		c.HTTP = &http.Client{Transport: &http.Transport{TLSClientConfig: settings}}
	}
	if c.ID, err = identity(filepath.Join(dir, "client-id")); err != nil {
		return nil, err
	}
	if c.Secret, err = identity(filepath.Join(dir, "secret-id")); err != nil {
		return nil, err
	}
	token, err := os.ReadFile(filepath.Join(dir, "intro_token.jwt"))
	if err != nil && !os.IsNotExist(err) {
		return nil, fmt.Errorf("introduction token: %w", err)
	}
	c.Introduction = strings.TrimSpace(string(token))
	return c, nil
}

// httpAddress returns where the first server speaks HTTP, or HTTPS.
func httpAddress(servers []string, secured bool) (string, error) {
	if len(servers) == 0 {
		return "", fmt.Errorf("client.servers is empty")
	}
	name, port, err := net.SplitHostPort(servers[0])
	if err != nil { // no port: Nomad's own
		name, port = servers[0], strconv.Itoa(rpcPort)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n < 2 {
		return "", fmt.Errorf("client.servers: %q has no port", servers[0])
	}
	scheme := "http://"
	if secured {
		scheme = "https://"
	}
	return scheme + net.JoinHostPort(name, strconv.FormatUint(n-1, 10)), nil
}

// identity reads a UUID from file, or makes one and keeps it there. Like the
// real agent it writes no final newline.
func identity(file string) (string, error) {
	b, err := os.ReadFile(file)
	if id := strings.TrimSpace(string(b)); err == nil && id != "" {
		return id, nil
	}
	if err != nil && !os.IsNotExist(err) {
		return "", fmt.Errorf("identity: %w", err)
	}
	var u [16]byte
	rand.Read(u[:])
	id := fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
	// A machine that loses power here must not come back with half an identity.
	temp := file + ".new"
	if err := os.WriteFile(temp, []byte(id), 0o600); err != nil {
		return "", fmt.Errorf("identity: %w", err)
	}
	f, err := os.Open(temp)
	if err == nil {
		err = f.Sync()
		f.Close()
	}
	if err == nil {
		err = os.Rename(temp, file)
	}
	if err == nil {
		err = syncFolder(filepath.Dir(file))
	}
	if err != nil {
		return "", fmt.Errorf("identity: %w", err)
	}
	return id, nil
}

// syncFolder makes names in a folder durable.
func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
