{{ define "group" }}  group "ansible" {
    # A second attempt on the same host is the operator's decision.
    restart {
      attempts = 0
      mode     = "fail"
    }

    task "ansible" {
      driver = "raw_exec"

      # Without an inventory of its own the folder is meant for this host alone.
      config {
        command = "/bin/sh"
        args = [
          "-c", <<-SH
            cd "$1" || exit 1
            ansible=$2 host=$3
            shift 3
            if [ ! -e inventory ] && [ ! -e ansible.cfg ]; then
              set -- -i "$host," "$@"
            fi
            exec "$ansible" "$@"
          SH
          , "configure", {{ quote .Directory }}, {{ quote .Command }}, "${node.unique.name}",
          "-D", "${NOMAD_META_ANSIBLE_PLAYBOOK}",
{{- if .Root }}
          "-c", "community.general.chroot",
          "-e", {{ quote (print "ansible_host=" .Root) }},
{{- else }}
          "-c", "local",
{{- end }}
          "--limit", "${node.unique.name}",
{{- range .Arguments }}
          {{ quote . }},
{{- end }}
{{- if .Check }}
          "--check",
{{- end }}
        ]
      }

      # The agent may be without a home, which Ansible wants.
      env {
        HOME = "/root"
{{- range $key, $value := .Env }}
        {{ $key }} = {{ quote $value }}
{{- end }}
      }

      resources {
        cpu    = 200
        memory = 512
      }
    }
  }{{ end }}
