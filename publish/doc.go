// Package publish makes the container image of a Git revision of playbooks and
// pushes it to a registry, with the commit as its tag. It needs git and no
// Docker: the image is a base image, which somebody else has made and which holds
// Ansible, and one layer above it with the revision's files.
//
// The same revision on the same base is the same image, byte for byte, and from
// one revision to the next only that layer is new.
//
// It knows neither hosts nor Nomad: package upkeep applies what is published.
package publish
