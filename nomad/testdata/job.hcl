# The configuration job of one host. The values between double braces are
# filled in by the appliance; "quote" makes an HCL string of any value.
job "provision-host1-g1-1795361300" {
  type        = "sysbatch"
  datacenters = ["*"]
  node_pool   = "all"

  # A dispatch cannot choose its node, so every host has a job of its own.
  constraint {
    attribute = "${node.unique.id}"
    value     = "7a780c47-390f-e4db-6dd9-10096b4b2ac9"
  }

  meta = {
    host = "host1"
    role = "worker"
    "COMMIT" = "deadbeef"
    "site.name" = "\"$${x}\""
  }

  group "configure" {
    # A second attempt on the same host is the operator's decision.
    restart {
      attempts = 0
      mode     = "fail"
    }

    task "configure" {
      driver = "raw_exec"

      # The role's files may bring the script. Whatever it does must bear being
      # run again: a reboot in the middle starts it from the top.
      config {
        command = "/bin/sh"
        args = ["-c", <<-SH
          echo "configure $NOMAD_META_host as $NOMAD_META_role"
          if [ -e /etc/provision/configure ]; then
            exec /bin/sh /etc/provision/configure
          fi
          echo "the role has no /etc/provision/configure: nothing to do"
        SH
        ]
      }
    }
  }
}
