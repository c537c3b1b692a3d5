// Ansible stands in for ansible-playbook on the lab's machines, which have no
// Python. It runs the few modules that the rack's playbooks use for real, on the
// machine it runs on or in a chroot, honours --check and --limit, and tells the
// outcome as Ansible's JSON callback does.
//
//	ansible-playbook -D base.yml -i node1, -c local --limit node1
//
// What it does not know it refuses, so that nobody takes a run that left
// something out for a good one. The peer of its tests is the real program.
package main
