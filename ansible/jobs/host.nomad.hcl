# One playbook on one host. The values between double braces are filled in by
# the appliance; "quote" makes an HCL string of any value.
job {{ quote .Job }} {
  type        = "sysbatch"
  datacenters = ["*"]
  node_pool   = "all"

  # A dispatch cannot choose its node, so every host has a job of its own.
  constraint {
    attribute = "${node.unique.id}"
    value     = {{ quote .Node.ID }}
  }

  meta = {
{{- range $key, $value := .Meta }}
    {{ quote $key }} = {{ quote $value }}
{{- end }}
    host             = {{ quote .Host }}
    role             = {{ quote .Role }}
    COMMIT           = {{ quote .Commit }}
    ANSIBLE_PLAYBOOK = {{ quote .Playbook }}
  }

{{ template "group" . }}
}
