// Package ansible runs Ansible's playbooks on hosts of the cluster, one Nomad
// job a playbook, and reads what Ansible says of them: a result is its play
// recap and more than an exit code. It holds the jobs that do so, with docker
// and with raw_exec.
//
// It stores nothing and decides nothing: package enroll configures hosts on
// their way into the cluster, package upkeep those that are in it.
package ansible
