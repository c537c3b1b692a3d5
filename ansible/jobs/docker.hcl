{{ define "group" }}  group "ansible" {
    # A second attempt on the same host is the operator's decision.
    restart {
      attempts = 0
      mode     = "fail"
    }

    network {
      mode = "host"
    }

    task "ansible" {
      driver = "docker"

      config {
        image        = "{{ .Image }}:${NOMAD_META_COMMIT}"
        network_mode = "host"
        privileged   = true
        volumes      = ["/:/host"]
        work_dir     = {{ quote .Directory }}
        command      = {{ quote .Command }}
        args = [
          "-D", "${NOMAD_META_ANSIBLE_PLAYBOOK}",
          "-c", "community.general.chroot",
          "-e", "ansible_host=/host",
          "--limit", "${node.unique.name}",
{{- range .Arguments }}
          {{ quote . }},
{{- end }}
{{- if .Check }}
          "--check",
{{- end }}
        ]
      }

      env {
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
