# Runs the playbooks against the host's own root, from a container, with the
# node's name as Ansible's limit. COMMIT and ANSIBLE_PLAYBOOK come from the role.
job {{ quote .Job }} {
  type        = "sysbatch"
  datacenters = ["MATRIX-CONTROL", "MATRIX"]
  node_pool   = "all"

  constraint {
    attribute = "${node.unique.id}"
    value     = {{ quote .Node.ID }}
  }

  group "ansible" {
    network {
      mode = "host"
    }

    restart {
      attempts = 0
      mode     = "fail"
    }

    task "ansible" {
      driver = "docker"

      config {
        image        = {{ quote (print "registry.matrix.example:5000/ansible/ansible:" .Meta.COMMIT) }}
        network_mode = "host"
        privileged   = true
        command      = "/ansible/venv/bin/ansible-playbook"
        args = [
          "-D", {{ quote .Meta.ANSIBLE_PLAYBOOK }},
          "-c", "community.general.chroot",
          "-e", "ansible_host=/host",
          "--limit", {{ quote .Host }},
        ]
        volumes = ["/:/host"]
      }
    }
  }
}
